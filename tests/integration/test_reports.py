"""Reports through the public commands: whatever way the money is cut, it is the same money."""

import csv
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from spendstream.operations.reports.selection import DIMENSIONS
from tests.support.installation import Installation
from tests.support.reports import CALLS

pytestmark = pytest.mark.embedded
ALL = "2026-01..2026-03"


@pytest.fixture
def system(reported_installation: Installation) -> Installation:
    return reported_installation


def report(system: Installation, *arguments: str) -> Any:
    return json.loads(system.run("report", *arguments, "--format", "json").stdout)


def usd(rows: list[Mapping[str, Any]], column: str = "cost_usd") -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


def test_a_breakdown_by_anything_adds_up_to_v_cost_exactly(system: Installation) -> None:
    spent = system.value("select sum(cost_usd) from v_cost")
    assert spent > 0
    for by in ("", "team", "team,model", "user_id,day,status", ",".join(DIMENSIONS)):
        found = report(system, "breakdown", "--period", ALL, "--by", by)
        assert usd(found["rows"]) == Decimal(found["total"]["cost_usd"]) == spent, by
        assert sum(row["requests"] for row in found["rows"]) == len(CALLS)
        for status in ("unpriced", "partial"):
            counted = sum(row[f"{status}_events"] for row in found["rows"])
            assert counted == system.value(f"select count() from charges where status = '{status}'") > 0


def test_periods_and_filters_cut_without_gap_or_overlap(system: Installation) -> None:
    periods = ("2026-01", "2026-02-01..2026-02-14", "2026-02-15..2026-02-28", "2026-03")
    parts = [Decimal(report(system, "breakdown", "--period", each, "--by", "team")["total"]["cost_usd"])
             for each in periods]  # fmt: skip
    assert sum(parts) == system.value("select sum(cost_usd) from v_cost")
    narrow = report(system, "breakdown", "--period", "2026-02", "--by", "day,model",
                    "--where", "team=R&D <ops>", "--where", "day=2026-02-02")  # fmt: skip
    assert Decimal(narrow["total"]["cost_usd"]) == system.value(
        "select sum(cost_usd) from v_cost where team = 'R&D <ops>' and day = '2026-02-02'"
    )


def test_csv_and_parquet_hold_the_same_exact_decimals_as_json(system: Installation, tmp_path: Path) -> None:
    words = ("breakdown", "--period", ALL, "--by", "team,model")
    rows = report(system, *words)["rows"]
    text = system.run("report", *words, "--format", "csv").stdout
    assert [row["cost_usd"] for row in csv.DictReader(io.StringIO(text))] == [row["cost_usd"] for row in rows]
    system.run("report", *words, "--format", "parquet", "--output", str(tmp_path / "b.parquet"))
    table = pq.read_table(tmp_path / "b.parquet")
    assert str(table.schema.field("cost_usd").type) == "decimal128(38, 12)"
    assert [row["cost_usd"] for row in table.to_pylist()] == [Decimal(row["cost_usd"]) for row in rows]
    assert list(tmp_path.iterdir()) == [tmp_path / "b.parquet"]


def test_tables_for_people_show_names_as_they_are_and_a_total(system: Installation) -> None:
    shown = system.run("report", "breakdown", "--period", ALL, "--by", "service,team").stdout
    assert "<b>&[/odd]" in shown
    assert "R&D <ops>" in shown
    assert f"{system.value('select sum(cost_usd) from v_cost'):.12f}" in shown.splitlines()[-1]
    statement = system.run("report", "chargeback", "--period", "2026-02", "--team", "search").stdout
    assert "Top models" in statement
    assert "<b>&[/odd]" in statement
    assert "Not in it yet" in statement
    economics = system.run("report", "unit-economics", "--period", "2026-02", "--revenue-usd", "1", "--months", "1")
    assert "of revenue: concerning" in economics.stdout


def test_a_trend_has_a_row_for_every_day_spent_or_not(system: Installation) -> None:
    found = report(system, "trend", "--period", "2026-01")["rows"]
    assert [row["day"] for row in found] == [f"2026-01-{day:02}" for day in range(1, 32)]
    assert usd(found) == system.value("select sum(cost_usd) from v_cost where toYYYYMM(day) = 202601")
    assert usd(found[:19]) == 0
    hours = report(system, "trend", "--period", "2026-02-01..2026-02-02", "--grain", "hour")["rows"]
    assert len(hours) == 48
    teams = report(system, "trend", "--period", ALL, "--grain", "month", "--by", "team")["rows"]
    assert usd(teams) == system.value("select sum(cost_usd) from v_cost")


def test_a_period_without_usage_is_said_in_words_and_in_files_that_keep_their_types(
    system: Installation, tmp_path: Path
) -> None:
    for words in (("breakdown",), ("trend",), ("unit-economics",), ("breakdown", "--where", "team=nobody-has-it")):
        done = system.run("report", *words, "--period", "2020-02")
        assert done.stdout == "" and "no usage from 2020-02-01 00:00 to 2020-03-01 00:00" in done.stderr
    other = system.run("report", "chargeback", "--period", "2026-02", "--org", "acme")
    assert other.stdout == "" and "Nobody is charged" in other.stderr
    done = system.run("report", "chargeback", "--period", "2020-02")
    assert done.stdout == "" and "Nobody is charged anything in 2020-02, nor was in 2020-01" in done.stderr
    assert report(system, "breakdown", "--period", "2020-02")["total"]["cost_usd"] == "0.000000000000"
    empty = tmp_path / "empty.parquet"
    system.run("report", "breakdown", "--period", "2020-02", "--format", "parquet", "--output", str(empty))
    assert str(pq.read_table(empty).schema.field("cost_usd").type) == "decimal128(38, 12)"
    page = system.run("report", "chargeback", "--period", "2020-02", "--format", "html").stdout
    assert "Chargeback statement 2020-02" in page and "Nobody is charged anything" in page


def test_statements_add_up_to_the_month_and_name_what_nobody_owns(system: Installation) -> None:
    found = report(system, "chargeback", "--period", "2026-02")
    spent = system.value("select sum(cost_usd) from v_cost where toYYYYMM(day) = 202602")
    assert usd(found["statements"], "total_usd") == usd(found["rows"]) == spent
    missing = sum(statement["not_priced_events"] for statement in found["statements"])
    assert missing == system.value("select count() from v_cost where toYYYYMM(day) = 202602 and status != 'priced'")
    by_team = {statement["team"]: statement for statement in found["statements"]}
    assert set(by_team) == {"search", "assistants", "automation", "R&D <ops>", "unallocated"}
    nobody = by_team["unallocated"]
    assert nobody["direct_usd"] == by_team["search"]["unallocated_usd"] == "0.000000000000"
    assert Decimal(nobody["unallocated_usd"]) == Decimal(nobody["total_usd"]) > 0
    assert Decimal(by_team["search"]["previous_usd"]) == system.value(
        "select sum(cost_usd) from v_cost where team = 'search' and toYYYYMM(day) = 202601"
    )
    for statement in found["statements"]:
        assert usd(statement["items"]) == Decimal(statement["total_usd"])
    assert {item["why"] for item in nobody["items"]} == {"no owner on the event or in the registry"}


def test_a_statement_is_one_accessible_page_that_loads_nothing(system: Installation, tmp_path: Path) -> None:
    path = tmp_path / "statement.html"
    system.run("report", "chargeback", "--period", "2026-02", "--format", "html", "--output", str(path))
    page = Page()
    page.feed(path.read_text())
    assert page.headings == ["h1"] * 6  # all teams, then each
    assert page.language == "en"
    assert not page.loaded
    assert page.cells_without_scope == 0
    assert page.captions == len([tag for tag in page.tags if tag == "table"])
    assert "R&D <ops>" in page.text
    assert "<b>&[/odd]" in page.text
    assert page.text.count("events without a price") == 5
    alone = system.run("report", "chargeback", "--period", "2026-02", "--team", "search", "--format", "html").stdout
    assert alone.count("<section") == 1


def test_what_a_request_a_user_and_a_conversation_cost(system: Installation) -> None:
    words = ("unit-economics", "--period", "2026-02", "--revenue-usd", "100", "--growth", "0.1", "--months", "2")
    found = report(system, *words)
    view = {row[0]: row[1:] for row in system.query(
        "select service, requests, users, sessions, cost_usd from v_unit_economics where grain = 'month'"
        " and period = '2026-02-01'"
    )}  # fmt: skip
    assert {
        row["service"]: (row["requests"], row["users"], row["conversations"], Decimal(row["cost_usd"]))
        for row in found["rows"]
    } == view
    for row in found["rows"]:
        exact = Fraction(Decimal(row["cost_usd"])) / row["requests"]
        assert abs(Fraction(Decimal(row["cost_per_request_usd"])) - exact) <= Fraction(1, 2 * 10**12)
    total = found["total"]
    assert total["users"] == system.value("select uniqExact(user_id) from charges where toYYYYMM(ts) = 202602") == 40
    assert Decimal(total["cost_ratio"]) == round(Decimal(total["cost_usd"]) / 100, 12)
    assert total["not_priced_events"] == sum(row["not_priced_events"] for row in found["rows"]) > 0
    projected = [Decimal(month["cost_usd"]) for month in found["projection"]]
    assert projected[0] == Decimal(total["cost_usd"])
    assert abs(projected[2] - projected[0] * Decimal("1.21")) < Decimal("1e-11")


def test_the_classes_of_a_charge_add_up_to_it_and_its_list_cost_is_the_price_book_s(system: Installation) -> None:
    assert system.query(
        "select count() from (select event_id, sum(cost_usd) as parts from v_charge_classes group by event_id) as c"
        " full join charges using event_id where ifNull(parts, 0) != cost_usd"
    ) == [(0,)]
    assert system.value("select count() from v_charge_classes where token_class = 'all'") == 0
    found = {row[0]: row[1:] for row in system.query(
        "select x_EventId, sum(ListCost), sum(ContractedCost), sum(BilledCost), sum(EffectiveCost) from v_focus"
        " where x_Model = 'negotiated' group by x_EventId"
    )}  # fmt: skip
    expected = {call.row["event_id"]: call.negotiated_usd() for call in CALLS if call.row["model"] == "negotiated"}
    assert found.keys() == expected.keys()
    for event, costs in expected.items():
        listed, contracted, *billed = [Fraction(value) for value in found[event]]
        assert billed == [costs["billed"]] * 2
        # A class's list and contracted cost are rounded to a pico-dollar; there are at most six of them.
        assert abs(listed - costs["list"]) <= Fraction(3, 10**12)
        assert abs(contracted - costs["contracted"]) <= Fraction(3, 10**12)


def test_a_charge_whose_card_is_missing_or_wrong_stays_whole(system: Installation) -> None:
    name = "sum(cost_usd), count(), any(quantity), any(token_class)"
    columns = ("insert into charges (org, event_id, ts, provider, model, price_id, tier, status, requests,"
               " input_tokens, input_uncached_tokens, cost_usd)")  # fmt: skip
    wrong = "'deals', 'negotiated', 'deals/negotiated@2026-01-01T00:00:00Z#1', 'standard'"
    missing = "'old', 'm', 'old/m@always#1', 'standard'"
    try:
        for event, what in (("wrong", wrong), ("missing", missing)):
            system.query(f"{columns} values ('default', 'card-{event}', '2020-01-01', {what}, 'priced', 3, 9, 9, 1)")
            assert system.query(f"select {name} from v_charge_classes where event_id = 'card-{event}'") == [
                (Decimal(1), 1, 3, "all")
            ]
    finally:  # others share the installation
        system.query("alter table charges delete where startsWith(event_id, 'card-') settings mutations_sync = 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("breakdown", "--period", "november"), "is no period"),
        (("breakdown", "--period", "2026-02", "--by", "colour"), "'colour' is no dimension"),
        (("breakdown", "--period", "2026-02", "--where", "team"), "DIMENSION=VALUE"),
        (("breakdown", "--period", "2026-02", "--output", "x.txt"), "--output"),
        (("chargeback", "--period", "last-7d"), "whole months"),
        (("unit-economics", "--period", "2026-02", "--growth", "-2", "--months", "1"), "growth"),
        (("unit-economics", "--period", "2026-02", "--revenue-usd", "much"), "--revenue-usd"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(system: Installation, arguments: tuple[str, ...], message: str) -> None:
    done = system.run("report", *arguments, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


class Page(HTMLParser):
    """What a reader of the page, and a browser, would notice."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.loaded: list[str] = []
        self.language = ""
        self.text = ""
        self.captions = self.cells_without_scope = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.language = given.get("lang") or self.language
        self.captions += tag == "caption"
        self.cells_without_scope += tag == "th" and "scope" not in given
        if tag in ("h1", "h2"):
            self.headings.append(tag)
        if (
            tag in ("script", "link", "img", "iframe")
            or "src" in given
            or not (given.get("href") or "#").startswith("#")
        ):
            self.loaded.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data
