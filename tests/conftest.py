"""Fixtures shared by all rings."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.installation import installation, kafka_installation, template
from tests.support.reports import reported_installation
from tests.support.stack import kafka_stack, tansu_stack

# On a busy machine an example takes as long as it takes; the rest is as hypothesis has it, in CI without chance.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

__all__ = ["installation", "kafka_installation", "kafka_stack", "reported_installation", "tansu_stack", "template"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side (`make test`) a file stays with one worker, and so do all of e2e, which share an installation."""
    for item in items:
        together = item.path.parent if item.path.parent.name == "e2e" else item.path
        item.add_marker(pytest.mark.xdist_group(str(together)))
