"""What importing a file has to do, by what is known of it."""

import pytest

from spendstream.operations.import_ledger import Entry, Step, next_step


def entry(state: str) -> Entry:
    return Entry("digest", "file.csv", "csv", state)


def test_an_unknown_file_is_sent() -> None:
    assert next_step(None, arrived=False, topic_is_there=True) is Step.SEND


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("topic_is_there", [True, False])
def test_a_finished_file_is_never_sent_again(arrived: bool, topic_is_there: bool) -> None:
    assert next_step(entry("done"), arrived, topic_is_there) is Step.NOTHING


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("topic_is_there", [True, False])
def test_a_file_that_was_only_begun_is_repaired_whatever_else_is_known(arrived: bool, topic_is_there: bool) -> None:
    assert next_step(entry("begun"), arrived, topic_is_there) is Step.REPAIR


def test_a_sent_file_is_awaited_while_its_topic_lives_and_repaired_when_the_topic_was_lost_before() -> None:
    assert next_step(entry("sent"), arrived=True, topic_is_there=False) is Step.NOTHING
    assert next_step(entry("sent"), arrived=False, topic_is_there=True) is Step.WAIT
    assert next_step(entry("sent"), arrived=False, topic_is_there=False) is Step.REPAIR
