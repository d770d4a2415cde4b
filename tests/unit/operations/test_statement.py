"""The statement page: amounts exact and under each other, names whole, columns that say something, empty months."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spendstream.cli.reports.chargeback import change, dearest
from spendstream.cli.reports.statement_html import money, places_for, statements_page
from spendstream.domain.periods import parse_period
from spendstream.operations.reports.chargeback import Item, Statement

NOW = datetime(2026, 12, 3, tzinfo=UTC)
PERIOD = parse_period("2026-02", NOW)


def statement(team: str, *items: Item, previous: str = "0") -> Statement:
    amounts: dict[tuple[str, str], Decimal] = {}
    for item in items:
        key = ("licensing", item.kind)
        amounts[key] = amounts.get(key, Decimal(0)) + item.cost_usd
    return Statement("default", team, PERIOD, amounts, Decimal(previous), (), items, 0)


def shared(usd: str, service: str = "observability", rule: str = "on-call") -> Item:
    return Item("billing", service, "allocated", rule, Decimal(usd))


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html)


@pytest.mark.parametrize(
    ("amount", "places", "said"),
    [
        ("1234567.5", 2, "1,234,567.50"), ("0.000000000001", 12, "0.000000000001"), ("-3.333", 12, "-3.333000000000"),
        ("98765432109876.123456789012", 12, "98,765,432,109,876.123456789012"), ("0", 12, "–"), ("2.005", 2, "2.00"),
    ],
)  # fmt: skip
def test_an_amount_has_all_its_digits_or_as_many_as_are_asked_for(amount: str, places: int, said: str) -> None:
    assert text_of(money(Decimal(amount), places)) == said


def test_an_amount_by_itself_has_the_digits_it_needs() -> None:
    assert money(Decimal("350.000000000000")) == "350.00"
    assert money(Decimal("4.833300000000")) == "4.83<small>33</small>"
    assert places_for([Decimal("1"), Decimal("1.2345000"), Decimal("1E+3")]) == 4


def test_amounts_of_a_table_have_equally_many_digits_and_the_zeros_behind_them_are_not_seen() -> None:
    page = statements_page([statement("ads", shared("350"), shared("4.8333", "db"))], PERIOD, NOW)
    assert '<td class="usd">350.00<small><i>00</i></small></td>' in page
    assert '<td class="usd">4.83<small>33</small></td>' in page


def test_a_statement_says_which_rule_charges_what_and_leaves_out_columns_without_an_amount() -> None:
    page = statements_page([statement("ads", shared("5"), previous="4")], PERIOD, NOW)
    assert "shared out by on-call" in page and "(+25.0%)" in page
    assert re.findall(r'<th scope="col"[^>]*>([^<]+)', page) == [
        "Category", "Allocated", "Total", "Service", "From", "Why", "USD"
    ]  # fmt: skip


def test_many_teams_have_an_overview_that_links_to_each() -> None:
    page = statements_page([statement("<ads>", shared("5")), statement("search", shared("0.004"))], PERIOD, NOW)
    assert page.count("<section") == 3
    for i in range(2):
        assert f'href="#team-{i}"' in page and f'id="team-{i}"' in page
    assert "&lt;ads&gt;" in page and "<ads>" not in page
    assert '<td class="usd">5.00</td>' in page


def test_small_items_are_summed_so_that_the_table_adds_up() -> None:
    rows = dearest([shared(str(20 - i), f"s{i}") for i in range(13)])
    assert len(rows) == 11 and rows[-1] == ("3 smaller items", "", "", Decimal(10 + 9 + 8))
    assert [row[2] for row in dearest([
        Item("gpu", "", "idle", "idle:ads", Decimal(1)), Item("usage", "s", "direct", "", Decimal(1)),
        Item("usage", "s", "unallocated", "no owner", Decimal(1)),
    ])] == ["idle:ads", "direct", "unallocated: no owner"]  # fmt: skip


def test_nobody_charged_is_a_page_with_the_period() -> None:
    page = statements_page([], PERIOD, NOW)
    assert "<h1>Chargeback statement 2026-02</h1>" in page and "nor was in 2026-01" in page


def test_a_running_period_says_that_it_is_so() -> None:
    running = parse_period("2999-01", NOW)
    assert "not over yet" in statements_page([statement("a", shared("1")), statement("b", shared("1"))], running, NOW)
    assert "not over yet" not in statements_page([statement("a", shared("1"))], PERIOD, NOW)


def test_a_change_too_small_to_show_has_no_sign() -> None:
    assert change(statement("a", shared("10"), previous="10.0001")) == "0.0%"
    assert change(statement("a", shared("10"))) == "new" and change(statement("a")) == ""
