"""Which line of a file a refused row is told to be."""

from collections.abc import Iterator

from spendstream.operations.import_source import Source, UsageRow, lines_of


def source(*rows: tuple[str, bytes]) -> Source:
    def each() -> Iterator[UsageRow]:
        for line, (event_id, value) in enumerate(rows, start=2):
            yield UsageRow(line, "default", event_id, 0, value)

    return Source("usage.csv", "digest", "csv", each)


def test_the_first_row_of_an_id_counts_and_the_one_that_differs_is_to_blame() -> None:
    file = source(("a", b"1"), ("b", b"1"), ("a", b"1"), ("a", b"2"))
    assert lines_of(file, ["a"]) == [5]


def test_each_of_several_differing_rows_is_named() -> None:
    file = source(("a", b"1"), ("a", b"2"), ("a", b"3"))
    assert lines_of(file, ["a", "a"]) == [3, 4]


def test_an_id_an_earlier_file_had_is_blamed_on_every_row() -> None:
    file = source(("a", b"2"), ("b", b"9"), ("a", b"3"))
    assert lines_of(file, ["a", "b", "a"]) == [2, 3, 4]


def test_a_row_refused_for_itself_is_its_own_line() -> None:
    assert lines_of(source(("a", b"1"), ("b", b"2")), ["b"]) == [3]


def test_what_is_not_in_the_file_has_no_line() -> None:
    assert lines_of(source(("a", b"1")), ["z"]) == [None]
