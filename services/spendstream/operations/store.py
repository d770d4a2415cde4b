"""ClickHouse as a command sees it: one connection, and errors that say what to do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from urllib3.exceptions import HTTPError

from spendstream.runtime.clickhouse.client import as_not_now, connect, in_words
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.settings import Settings

Rows = Sequence[Sequence[Any]]
MISSING_CODES = ("Code: 60.", "Code: 81.", "Code: 47.")  # unknown table, unknown database, unknown column


class NotMigratedError(Exception):
    """A table is missing or older than this program."""


class Store:
    """Synchronous queries and inserts.

    `NotNowError` when the server is away or does not let us in, `NotMigratedError` when it lacks our tables.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            self._client = connect(settings)
        except ClickHouseError as error:
            explained = _explained(error, "connecting to ClickHouse")
            if isinstance(explained, NotMigratedError):
                raise explained from error
            raise NotNowError(f"connecting to ClickHouse: {in_words(str(error))}") from error

    def rows(self, sql: str, **parameters: Any) -> Rows:
        """Rows of a query; times are aware. Values are bound as `%(name)s`."""
        try:
            found: Rows = self._client.query(sql, parameters=parameters or None, tz_mode="aware").result_rows
            return found
        except (ClickHouseError, OSError) as error:
            raise _explained(error, "asking ClickHouse") from error

    def stream(self, sql: str, file_format: str) -> Iterator[bytes]:
        """The result in one of ClickHouse's formats (CSVWithNames, Parquet, …), piece by piece."""
        settings = {"format_csv_null_representation": "", "output_format_decimal_trailing_zeros": 1}
        try:
            with self._client.raw_stream(sql, fmt=file_format, settings=settings) as answer:
                while piece := answer.read(1 << 20):
                    yield piece
        except (ClickHouseError, HTTPError, OSError) as error:
            raise _explained(error, "asking ClickHouse") from error

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the same columns."""
        if not rows:
            return
        columns = list(rows[0])
        try:
            self._client.insert(table, [[row[name] for name in columns] for row in rows], column_names=columns)
        except (ClickHouseError, OSError) as error:
            raise _explained(error, f"writing {table}") from error


def _explained(error: BaseException, what: str) -> BaseException:
    text = str(error)
    if isinstance(error, DatabaseError) and any(code in text for code in MISSING_CODES):
        reason = text.split("DB::Exception: ", 1)[-1].split(" In scope", 1)[0].split(". Maybe", 1)[0]
        return NotMigratedError(f"{reason}: the tables are not up to date; run `spendstream migrate`")
    return as_not_now(error, what)
