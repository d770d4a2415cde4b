"""Documents with mistakes."""

import pytest

from tests.e2e.conftest import System

pytestmark = pytest.mark.embedded

MISTAKES = """kind: Price
name: mistakes/negative
spec:
  provider: mistakes
  model: negative
  effective_from: 2020-01-01T00:00:00Z
  usd_per_million_tokens: {input: 1, output: -3}
---
kind: Budget
name: mistakes-budget
spec:
  scope: {team: mistakes}
  window: fortnight
  amount_usd: 5
---
kind: Price
name: mistakes/fine
spec:
  provider: mistakes
  model: fine
  effective_from: 2020-01-01T00:00:00Z
  usd_per_million_tokens: {input: 1, output: 3}
"""


def test_every_mistake_is_named_by_file_and_line_and_nothing_is_published(system: System) -> None:
    path = system.file("mistakes.yaml", MISTAKES)
    done = system.run("apply", "-f", path, code=2)
    assert f"{path}:7:" in done.stderr
    assert f"{path}:13:" in done.stderr
    assert "nothing was published" in done.stderr
    fine = system.file("fine.yaml", MISTAKES.rsplit("---\n", 1)[1])
    documents = system.json("apply", "-f", fine, "--dry-run")["documents"]
    assert documents == [{"document": "Price/mistakes/fine", "state": "new", "revision": 1}]
