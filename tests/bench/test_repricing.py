"""A million charges are repriced to the pico-dollar, and how long that takes is printed."""

import json
from pathlib import Path

import pytest

from tests.bench.repricing import Kind, measured
from tests.support.installation import Installation

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(3_600)]


@pytest.mark.parametrize("kind", ["month", "worst"])
def test_a_million_charges_are_repriced_to_the_pico_dollar(
    kafka_installation: Installation, tmp_path: Path, kind: Kind
) -> None:
    result = measured(kafka_installation, tmp_path, kind, charges=1_000_000)
    print(json.dumps(result, indent=1))
    for step in ("diff", "apply", "again"):
        assert result[step]["all"] < 600, result
