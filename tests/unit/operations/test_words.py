"""What commands say is in the words of who asked, and amounts of a table look alike."""

from decimal import Decimal
from typing import Any

import pytest

from spendstream.cli.budgets import dollars, places_for
from spendstream.cli.failures import explained
from spendstream.cli.output import print_table
from spendstream.runtime.clickhouse.client import in_words

REFUSED = (
    "Error HTTPConnectionPool(host='127.0.0.1', port=9): Max retries exceeded with url: /?query_id=26a9 (Caused by"
    " NewConnectionError(\"HTTPConnection(host='127.0.0.1', port=9): Failed to establish a new connection: [Errno 111]"
    ' Connection refused"))'
)
UNKNOWN = (
    "Received ClickHouse exception, code: 47, server response: Code: 47. DB::Exception: Unknown expression identifier"
    " `nope`. (UNKNOWN_IDENTIFIER) (version 26.9.2.1 (embedded chDB)) (for url http://127.0.0.1:28423)"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REFUSED, "127.0.0.1:9 does not answer (Connection refused)"),
        (UNKNOWN, "Unknown expression identifier `nope`. (UNKNOWN_IDENTIFIER)"),
        ("something else", "something else"),
    ],
)
def test_a_message_of_the_client_library_is_put_in_words(text: str, said: str) -> None:
    assert in_words(text) == said


def printed(capsys: pytest.CaptureFixture[str], values: list[Any]) -> list[str]:
    print_table("", ["usd"], [(value,) for value in values])
    return [line.strip() for line in capsys.readouterr().out.splitlines()][1:]


def test_a_zero_has_the_places_of_its_column(capsys: pytest.CaptureFixture[str]) -> None:
    values = [Decimal("0E-12"), Decimal("1.500000000000"), Decimal("2.000000000000")]
    assert printed(capsys, values) == ["0.000000000000", "1.500000000000", "2.000000000000"]
    assert printed(capsys, [Decimal("5.000000000000"), None]) == ["5", ""]


def test_amounts_of_a_table_have_the_same_places() -> None:
    amounts = [Decimal("1234.5"), Decimal("0.0375"), None, Decimal(0)]
    assert [dollars(usd, places_for(amounts)) for usd in amounts] == ["1,234.500000", "0.037500", "", "0.000000"]
    large = [Decimal("1234.567"), Decimal(0)]
    assert [dollars(usd, places_for(large)) for usd in large] == ["1,234.57", "0.00"]


def test_a_choice_that_does_not_exist_is_answered_with_the_choices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from spendstream.cli.app import app

    monkeypatch.setattr("sys.argv", ["spendstream", "recommendations", "list", "--state", "bogus"])
    assert explained(app) == 2
    said = capsys.readouterr().err
    assert "'bogus' is not one of 'open'" in said and "Value error" not in said
