"""Fixtures shared by all rings."""

from tests.support.installation import installation, kafka_installation
from tests.support.reports import reported_installation
from tests.support.stack import kafka_stack, tansu_stack

__all__ = ["installation", "kafka_installation", "kafka_stack", "reported_installation", "tansu_stack"]
