"""One range from bytes to money: identities and amounts are each event's own, however the log is cut."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.attribution.limit import FUTURE_US
from spendstream.attribution.usage.batch import planned_verdicts, rate, settle
from spendstream.attribution.usage.positions import pack_positions
from spendstream.attribution.usage.rows import by_month
from spendstream.domain.attribution.dedup import DedupIndex, Verdicts
from spendstream.domain.rollups import SUMS
from spendstream.rating import Book, BookShelf
from spendstream.runtime.control import ControlLog, digest_of, spec_json
from spendstream.schemas import decode_plain, encode, encode_plain

NOW_US = 1_780_000_000_000_000
PRICE: dict[str, Any] = {
    "provider": "test", "model": "small", "effective_from": "2020-01-01T00:00:00Z",
    "usd_per_million_tokens": {"input": Decimal("1"), "output": Decimal("3")},
}  # fmt: skip


def control(*documents: tuple[str, str, str, dict[str, Any]]) -> ControlLog:
    log = ControlLog()
    for offset, (org, kind, name, spec) in enumerate(documents):
        record = {
            "org": org, "kind": kind, "name": name, "spec_json": spec_json(spec), "known_at": 1, "revision": 1,
            "author": "test", "digest": digest_of(kind, name, spec),
        }  # fmt: skip
        log.add(offset, f"{kind}/{org}/{name}".encode(), encode("ControlDocument", record))
    return log


def book(org: str = "default") -> Book:
    return BookShelf(control((org, "Price", "test/small", PRICE))).now()


BOOK = book()


def usage(event_id: str, **fields: Any) -> dict[str, Any]:
    """1 000 + 100 tokens on test/small: 1.3 billion pico-dollars."""
    return {
        "event_id": event_id, "occurred_at": NOW_US, "service": "s", "provider": "test", "model": "small",
        "input_tokens": 1_000, "output_tokens": 100, **fields,
    }  # fmt: skip


def records(contents: Iterable[dict[str, Any] | list[dict[str, Any]]], start: int = 0) -> list[Any]:
    """Kafka records of single events, or of producer batches where a list is given."""
    found = []
    for offset, content in enumerate(contents, start):
        batch = isinstance(content, list)
        events = [usage(**event) for event in (content if batch else [content])]
        value = encode("UsageBatch", {"events": events}) if batch else encode("Usage", events[0])
        found.append(SimpleNamespace(offset=offset, timestamp=NOW_US // 1_000, key=b"k", value=value, headers=()))
    return found


words = st.sampled_from(["", "a", "b"])
members = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["e1", "e2", "e3", "é"]),
        "service": st.sampled_from(["s", "t"]),
        "output_tokens": st.integers(0, 5),
        "occurred_at": st.integers(NOW_US - 10**10, NOW_US),
    },
    optional={
        "org": st.sampled_from(["default", "acme"]), "team": words, "user_id": words, "trace_id": words,
        "status": st.sampled_from(["ok", "error"]), "convention": st.sampled_from(["inclusive", "disjoint"]),
        "cache_hit": st.booleans(), "max_tokens": st.integers(1, 9), "latency_ms": st.integers(0, 9),
        "region": words, "service_tier": st.sampled_from(["standard", "batch"]),
    },
)  # fmt: skip
logs = st.lists(members | st.lists(members, min_size=1, max_size=4), min_size=1, max_size=12)


def judged(batches: Sequence[Sequence[Any]]) -> tuple[pl.DataFrame, list[list[int]]]:
    """Counted events of all ranges, and ids, contents and verdicts of all events."""
    dedup, watermark, counted = DedupIndex(10**12, 10**6), 0, list[pl.DataFrame]()
    seen: list[list[int]] = [[], [], [], []]
    for batch in batches:
        rated = rate(batch, BOOK)
        assert rated.valid.all()
        verdicts = dedup.judge(rated.ids, rated.content)
        dedup.remember(rated.ids[verdicts.new], rated.content[verdicts.new], rated.appended_ms)
        settled = settle(rated, verdicts, BOOK, watermark, 600_000_000)
        watermark = settled.watermark
        counted.append(settled.counted)
        for column, values in zip(seen, (rated.ids, rated.content, verdicts.new, verdicts.conflict), strict=True):
            column += values.tolist()
    return pl.concat(counted), seen


@settings(deadline=None, max_examples=60)
@given(logs, st.lists(st.integers(0, 12), max_size=4))
def test_identity_content_money_and_lateness_do_not_depend_on_how_the_log_is_cut(
    contents: list[Any], cuts: list[int]
) -> None:
    whole = records(contents)
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    counted, seen = judged([whole])
    counted_in_pieces, seen_in_pieces = judged([whole[start:end] for start, end in pairwise(places)])
    assert seen == seen_in_pieces
    columns = ["org", "event_id", "offset", "item", "minute", "late_block", "category", "owner_source", *SUMS]
    assert counted.select(columns).rows() == counted_in_pieces.select(columns).rows()


@settings(deadline=None, max_examples=60)
@given(logs)
def test_a_range_carried_out_again_from_its_plan_is_the_same(contents: list[Any]) -> None:
    batch = rate(records(contents), BOOK)
    verdicts = DedupIndex(10**12, 10**6).judge(batch.ids, batch.content)
    plan = {"duplicates": pack_positions(verdicts.duplicate), "conflicts": pack_positions(verdicts.conflict)}
    plan["overflows"] = pack_positions(verdicts.overflow)
    again = planned_verdicts(rate(records(contents), BOOK), plan)
    for name in ("new", "duplicate", "conflict"):
        assert np.array_equal(getattr(again, name), getattr(verdicts, name))


def everything_new(size: int) -> Verdicts:
    nothing = np.zeros(size, dtype=bool)
    return Verdicts(np.ones(size, dtype=bool), nothing, nothing, nothing)


def test_trace_ids_and_attributes_are_not_content_but_everything_else_is() -> None:
    same = [usage("e"), usage("e", trace_id="other"), usage("e", attributes={"k": "v"})]
    other = [usage("e", output_tokens=101), usage("e", team="x"), usage("e", occurred_at=NOW_US - 1)]
    content = rate(records([*same, *other]), BOOK).content.tolist()
    assert len(set(content[:3])) == 1 and len(set(content[2:])) == 4


def test_totals_that_do_not_add_up_are_a_number_whoever_noticed() -> None:
    said = {"token_mismatch": "50", "email": "a@example.org"}
    overlap = {"cache_read_tokens": 900, "audio_input_tokens": 300}
    events = [usage("a", attributes=said), usage("b", **overlap), usage("c"), usage("d", attributes={"email": "x"})]
    found = rate(
        records([*events, [usage("e", attributes={**said, "token_mismatch": "many"})]]), BOOK, {"token_mismatch"}
    )
    assert found.events["token_mismatch"].to_list() == [50, -200, 0, 0, 0]
    assert "email" not in str(found.events["attributes"].to_list())
    plain = rate(records([usage("c"), usage("d", attributes={"email": "x"})]), BOOK, {"token_mismatch"})
    assert not {"token_mismatch", "attributes"} & set(plain.events.columns)


def test_names_as_said_are_kept_only_where_one_of_them_was_an_alias() -> None:
    dated = usage("a", provider="openai", model="gpt-4o-2024-08-06")
    found = rate(records([dated, usage("b")]), BOOK).events
    assert found.select("model", "reported_provider", "reported_model").rows() == [
        ("gpt-4o", "openai", "gpt-4o-2024-08-06"), (usage("b")["model"], usage("b")["provider"], usage("b")["model"]),
    ]  # fmt: skip
    assert "reported_model" not in rate(records([usage("b")]), BOOK).events.columns


def test_charges_are_cut_where_a_month_ends_and_only_there() -> None:
    july, june = 1_782_864_000_000_000, 1_782_864_000_000_000 - 1
    for times in ([june, july, june], [july, july + 1], [june], []):
        table = pa.table({"ts": pa.array(times, pa.timestamp("us", "UTC")), "at": list(range(len(times)))})
        found = {month: rows["at"].to_pylist() for month, rows in by_month(table)}
        months = ["202606" if at < july else "202607" for at in times]
        expected = {month: [i for i, of in enumerate(months) if of == month] for month in set(months)}
        assert found == expected


def test_organisations_have_identities_of_their_own() -> None:
    ids = rate(records([usage("e"), usage("e", org="acme")]), BOOK).ids.tolist()
    assert ids[0] != ids[1]


def test_a_call_of_the_future_is_rejected_by_broker_time_to_the_microsecond() -> None:
    limit = NOW_US // 1_000 * 1_000 + FUTURE_US
    batch = rate(records([usage("a", occurred_at=limit), usage("b", occurred_at=limit + 1)]), BOOK)
    assert batch.valid.tolist() == [True, False] and batch.reasons == ["clock"]


def cost_of(event: dict[str, Any], prices: Book) -> tuple[int, int]:
    """(cost, status code) of one event."""
    settled = settle(rate(records([event]), prices), everything_new(1), prices, 0, 0)
    cost, status = settled.counted.select("cost_pico_usd", "status_code").row(0)
    return cost, status


def test_a_price_prices_its_own_organisation() -> None:
    assert cost_of(usage("e", org="acme"), book("acme")) == (1_300_000_000, 0)


def test_a_price_of_one_organisation_never_prices_the_usage_of_another() -> None:
    cost, status = cost_of(usage("e", org="default"), book("acme"))
    assert (cost, status) == (0, 2), "acme's negotiated price was charged to another organisation"


def test_books_at_an_offset_that_has_not_been_read_yet_are_not_made_up() -> None:
    # A worker that takes a range over may be behind on control: pricing it with what it knows would not be the plan.
    shelf = BookShelf(control(("default", "Price", "test/small", PRICE)))
    with pytest.raises(Exception, match="control"):
        shelf.at(5)


def test_a_text_nobody_could_use_is_refused_with_its_reason() -> None:
    rated = rate(
        records([{"event_id": "long", "feature": "x" * 1_001}, {"event_id": "fits", "feature": "x" * 1_000}]), BOOK
    )
    assert rated.valid.tolist() == [False, True] and rated.reasons == ["text_limit"]


def test_an_absurd_latency_costs_what_it_costs_and_counts_as_a_month() -> None:
    rated = rate(records([{"event_id": "slow", "latency_ms": 2**63 - 1}, {"event_id": "back", "latency_ms": -5}]), BOOK)
    verdicts = DedupIndex(10**12, 10).judge(rated.ids, rated.content)
    counted = settle(rated, verdicts, BOOK, 0, 0).counted
    assert counted["latency_ms_sum"].to_list() == [30 * 86_400_000, 0]


def test_members_refused_out_of_a_batch_keep_their_own_bytes_whatever_their_year() -> None:
    far = {"event_id": "far", "occurred_at": 9_000_000_000_000_000_000}
    rated = rate(records([[{"event_id": "good"}, far, {**far, "event_id": "farther"}]]), BOOK)
    settled = settle(rated, DedupIndex(10**12, 10).judge(rated.ids, rated.content), BOOK, 0, 0)
    payloads = {rejection.event_id: rejection.payload for rejection in settled.rejections}
    assert payloads == {name: encode_plain("Usage", plain(name)) for name in ("far", "farther")}


def plain(event_id: str) -> dict[str, Any]:
    """A usage record as it is on the wire, far in the future."""
    event = usage(event_id=event_id, occurred_at=9_000_000_000_000_000_000)
    return decode_plain(encode("Usage", event), "Usage")
