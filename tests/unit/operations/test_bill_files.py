"""What people really hand in as a bill: every encoding, separator and Parquet type means the same amounts."""

import csv
import gzip
import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spendstream.domain.billing.focus import FocusReader, Origin
from spendstream.domain.billing.identity import Occurrences
from spendstream.domain.billing.ledger_row import ledger_row
from spendstream.operations.billing_files import BillFile, UnreadableBillError
from tests.support.bills import bill, line

LINES = [
    line("1,234.50", ChargeDescription="thousands"),
    line("1e-7", ChargeDescription="tiny"),
    line("(5.00)", ChargeDescription="two\nlines", ChargeCategory="Credit"),
]
COSTS = [Decimal("1234.5"), Decimal("1E-7"), Decimal(-5)]
TEXT = bill(LINES).replace("two\nlines", '"two\nlines"')


def costs(path: Path) -> list[Decimal]:
    """Billed cost of every line of a file."""
    file = BillFile(path)
    reader = FocusReader(file.header, Origin("default", file.digest, 1), Occurrences(), file.separator)
    items = [reader.read(row, cells) for row, cells in file.rows()]
    assert all(isinstance(item, dict) for item in items), items
    return [ledger_row(item, 0)["billed_cost"] for item in items if isinstance(item, dict)]


def separated(by: str) -> str:
    return TEXT.replace('"1,234.50"', "\0").replace(",", by).replace("\0", "1,234.50")


def quoted(by: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=by, quoting=csv.QUOTE_ALL)
    writer.writerows(csv.reader(io.StringIO(TEXT)))
    return out.getvalue()


@pytest.mark.parametrize(
    "written",
    [
        TEXT.encode(), b"\xef\xbb\xbf" + TEXT.encode(), TEXT.encode("utf-16"), TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"), gzip.compress(TEXT.encode("utf-16")), TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(), separated(";").encode(), separated("\t").encode("utf-16"),
        separated("|").encode(), quoted(";").encode(), quoted(",").encode(),
        (TEXT + ",,,\n\n" + "," * (len(LINES[0]) - 1) + "\n").encode(),
    ],
    ids=["utf-8", "bom", "utf-16", "utf-16-be", "utf-16-le", "gzip", "crlf", "cr", "semicolon", "tab", "pipe",
         "quoted semicolon", "quoted", "blank"],
)  # fmt: skip
def test_a_csv_means_the_same_however_it_is_written(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bill"
    path.write_bytes(written)
    assert costs(path) == COSTS


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"", "bill: is empty"),
        (TEXT.encode() + b"caf\xe9\n", "bill:6: is not UTF-8 or UTF-16 text"),
        (b"PK\x03\x04rest", "is a zip archive or an Excel workbook"),
        (b"PAR1rest", "is not readable Parquet"),
        (gzip.compress(TEXT.encode())[:-12], "bill"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_where(written: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bill"
    path.write_bytes(written)
    with pytest.raises(UnreadableBillError, match=says):
        _ = BillFile(path).header


def test_rows_know_the_line_they_begin_at(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(TEXT + "Total,,1\n")
    assert [row for row, _ in BillFile(path).rows()] == [2, 3, 4, 6]


def test_a_header_without_lines_has_none(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(TEXT.partition("\n")[0] + "\n")
    assert costs(path) == []


MOMENT = datetime(2026, 11, 2, tzinfo=UTC)
COLUMNS: dict[str, Callable[[], pa.Array]] = {
    "decimal128": lambda: pa.array([Decimal("0.10"), None], pa.decimal128(38, 9)),
    "decimal256": lambda: pa.array([Decimal("0.1"), None], pa.decimal256(76, 38)),
    "double": lambda: pa.array([0.1, float("nan")]),
    "float": lambda: pa.array([0.1, float("nan")], pa.float32()),
    "dictionary": lambda: pa.array(["0.1", None]).dictionary_encode(),
    "text": lambda: pa.array(["0.1", "NULL"], pa.large_string()),
}
TIMES: dict[str, Callable[[], pa.Array]] = {
    "ns in a zone": lambda: pa.array([MOMENT] * 2, pa.timestamp("ns", "America/New_York")),
    "ns": lambda: pa.array([MOMENT.replace(tzinfo=None)] * 2, pa.timestamp("ns")),
    "ms": lambda: pa.array([MOMENT] * 2, pa.timestamp("ms", "UTC")),
    "date": lambda: pa.array([date(2026, 11, 2)] * 2),
    "dictionary": lambda: pa.array(["2026-11-02T00:00:00Z"] * 2).dictionary_encode(),
}


@pytest.mark.parametrize("cost", COLUMNS)
@pytest.mark.parametrize("time", TIMES)
def test_parquet_means_the_same_whatever_its_types(cost: str, time: str, tmp_path: Path) -> None:
    path = tmp_path / "bill.parquet"
    tags = pa.array([[{"key": "team", "value": "search"}], None])
    columns = {"BilledCost": pa.array([1, 2]), "EffectiveCost": COLUMNS[cost](), "ChargePeriodStart": TIMES[time]()}
    pq.write_table(pa.table({**columns, "Tags": tags}), path)
    file = BillFile(path)
    reader = FocusReader(file.header, Origin("default", "", 1), Occurrences(), file.separator)
    found = [ledger_row(reader.read(row, cells), 0) for row, cells in file.rows()]  # type: ignore[arg-type]
    assert [(row["billed_cost"], row["effective_cost"], row["original_effective_cost"]) for row in found] == [
        (1, Decimal("0.1"), Decimal("0.1")), (2, 0, None),
    ]  # fmt: skip
    assert [row["team"] for row in found] == ["search", "unallocated"]
    assert {row["charge_period_start"] for row in found} == {int(MOMENT.timestamp()) * 1_000_000}


def test_the_tail_of_a_double_is_rounded_away(tmp_path: Path) -> None:
    path = tmp_path / "bill.parquet"
    pq.write_table(pa.table({"BilledCost": [2.7755575615628914e-17, -0.0], "ChargePeriodStart": [MOMENT] * 2}), path)
    assert costs(path) == [0, 0]
