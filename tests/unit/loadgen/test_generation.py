"""From clean events to Kafka messages and the truth: what is spoilt is known, what is counted was sent."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.disorder import CONFLICT, DUPLICATE, EVENT, POISON, Disorder, Faults
from loadgen.incidents import Incident, Incidents
from loadgen.packing import Packer
from loadgen.partitions import partitions_of
from loadgen.poison import FORMS, RAW, poison
from loadgen.pricing import Book
from loadgen.scenarios import DEFAULT_WORLD, load_world
from loadgen.truth import Truth, TruthFile, reject_reason
from loadgen.wire import UsageEncoder, defaults
from loadgen.world import HOUR, SECOND, World
from spendstream.schemas import Undecodable, decode

START = 1_763_370_000_000_000
SPEC = load_world(DEFAULT_WORLD)
PRICE = {
    "kind": "Price",
    "spec": {"provider": "anthropic", "model": "claude-sonnet-4.6", "effective_from": "2025-01-01T00:00:00Z",
             "usd_per_million_tokens": {"input": 3, "output": 15}},
}  # fmt: skip
ALL_FAULTS = Faults(duplicates=0.1, conflicts=0.05, poison=0.1, late=0.2, late_by_s=600, size_limit_records=1)


def slots(rate=1.0, seed=3, hours=1):
    return World(SPEC, seed, rate).events(START, START + hours * HOUR, "r-")


def emitted(faults, seed=3):
    disorder = Disorder(faults, seed, "r-")
    windows = [disorder.feed(until, records) for _, until, records in slots()]
    return [*windows, disorder.flush()]


def test_without_faults_everything_leaves_once_and_in_order():
    clean = [r for *_, rs in slots() for r in rs]
    assert [e.record for window in emitted(Faults()) for e in window] == clean


def test_with_faults_every_event_still_leaves_exactly_once_as_an_event():
    events = [e for window in emitted(ALL_FAULTS) for e in window]
    kinds = Counter(e.kind for e in events)
    clean = {r["event_id"] for *_, rs in slots() for r in rs}
    sent = Counter(e.event_id for e in events if e.kind == EVENT and not e.form)
    assert set(sent) == clean and set(sent.values()) == {1}
    assert min(kinds[DUPLICATE], kinds[CONFLICT], kinds[POISON]) > 50


def test_repeats_and_contradictions_leave_after_their_original():
    seen = {}
    for emission in (e for window in emitted(ALL_FAULTS) for e in window):
        if emission.kind == EVENT:
            seen[emission.event_id] = emission.record
        elif emission.kind == DUPLICATE:
            assert emission.record == seen[emission.event_id]
        elif emission.kind == CONFLICT:
            assert emission.record != seen[emission.event_id]


def test_late_events_leave_out_of_order():
    times = [e.record["occurred_at"] for window in emitted(Faults(late=0.2)) for e in window]
    assert times != sorted(times)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "size_limit"])
def test_each_form_of_poison_is_bad_for_its_reason(form):
    record = {**defaults(), "event_id": "e", "occurred_at": START, "input_tokens": 5, "service": "s", "model": "m"}
    made = poison(form, record, UsageEncoder())
    if form in RAW:
        with pytest.raises(Undecodable) as refused:
            decode(made.value)
        assert refused.value.reason == made.reason
    elif form == "clock":
        assert made.record["occurred_at"] > 253_000_000_000 * SECOND
    else:
        assert reject_reason(made.record) == made.reason == form


def test_the_large_record_is_right_and_fills_a_message():
    made = poison("size_limit", {**defaults(), "event_id": "e"}, UsageEncoder())
    assert made.reason == ""
    assert 999_000 < len(UsageEncoder().single(made.record)) < 1_048_000


@settings(deadline=None)
@given(st.integers(1, 9), st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 300))
def test_packed_or_single_every_event_is_in_its_partition_and_in_order(partitions, share, size):
    emissions = [e for window in emitted(replace(ALL_FAULTS, size_limit_records=0)) for e in window][:600]
    messages = Packer(partitions, 1, share, size).pack(emissions)
    sent = {partition: [] for partition in range(partitions)}
    for message in messages:
        assert partitions_of([message.key], partitions)[0] == message.partition
        ids, places = _contents(message)
        assert len(ids) == message.events <= max(size, 1)
        sent[message.partition] += ids
        for expected in message.expected:
            assert ids[max(expected.item, 0)] == expected.event_id
            assert (expected.item >= 0) == places
    homes = partitions_of([e.event_id.encode() for e in emissions], partitions)
    for partition in range(partitions):
        assert sent[partition] == [e.event_id for e, home in zip(emissions, homes, strict=True) if home == partition]


def _contents(message):
    try:
        name, record = decode(message.value)
    except Undecodable:
        return [message.key.decode()], False
    batch = name == "UsageBatch"
    return ([e["event_id"] for e in record["events"]] if batch else [record["event_id"]]), batch


def test_the_truth_counts_what_leaves():
    truth = Truth(Book([PRICE]))
    windows = emitted(ALL_FAULTS)
    for window in windows:
        truth.observe(window)
    file = truth.file("r", "r-", [], {})
    kinds = Counter(e.kind for window in windows for e in window)
    assert file.sent_events == kinds.total()
    assert (file.distinct_events, file.duplicates, file.conflicts) == (kinds[EVENT], kinds[DUPLICATE], kinds[CONFLICT])
    assert sum(file.rejected_by_reason.values()) == kinds[CONFLICT] + kinds[POISON]
    assert sum(file.statuses.values()) == kinds[EVENT]
    for table in (file.cost_pico_usd_by_team, file.cost_pico_usd_by_model, file.cost_pico_usd_by_day):
        assert sum(table.values()) == file.cost_pico_usd > 0
    minutes = (sum(minutes.values()) for minutes in file.cost_pico_usd_by_team_minute.values())
    assert sum(minutes) == file.cost_pico_usd


def test_a_truth_file_reads_back_as_it_was_written(tmp_path):
    truth = Truth(Book([PRICE]))
    truth.observe(e for window in emitted(ALL_FAULTS) for e in window)
    file = truth.file("r", "r-", [], {})
    file.save(tmp_path / "t.json")
    assert TruthFile.load(tmp_path / "t.json") == file
    (tmp_path / "bad.json").write_text('{"hello": 1}')
    with pytest.raises(ValueError, match="not a truth file"):
        TruthFile.load(tmp_path / "bad.json")


def told(*wanted):
    """Truth of two hours with these incidents, and the records that came out."""
    world = World(SPEC, 3, 1.0)
    incidents = Incidents(world, "r-")
    incidents.add(wanted)
    truth, disorder, records = Truth(Book([PRICE]), incidents.touched), Disorder(Faults(), 1, "r-"), []
    for since, until, clean in world.events(START, START + 2 * HOUR, "r-"):
        changed = incidents.apply(since, until, clean)
        records += changed
        truth.observe(disorder.feed(until, changed))
    return truth.file("r", "r-", incidents.incidents, incidents.dropped), records


def test_the_classic_explosion_costs_11250_dollars_of_which_10875_are_excess():
    explosion = Incident(
        "nightly", "output_explosion", START, START + HOUR, {"model": "claude-sonnet-4.6", "service": "chat"},
        requests=50_000, output_tokens=15_000, usual_output_tokens=500,
    )  # fmt: skip
    [story] = told(explosion)[0].incidents
    assert story["events"] == 50_000
    assert story["cost_pico_usd"] == 11_250 * 10**12
    assert story["excess_pico_usd"] == (11_250 - 375) * 10**12


def test_a_spike_multiplies_the_calls_it_matches_and_nothing_else():
    spike = Incident("s", "spike", START, START + HOUR, {"service": "chat"}, factor=3)
    before = Counter(r["service"] for *_, rs in slots() for r in rs)
    truth, records = told(spike)
    after = Counter(r["service"] for r in records if r["occurred_at"] < START + HOUR)
    assert after == {**before, "chat": 3 * before["chat"]}
    assert truth.incidents[0]["events"] == 2 * before["chat"]
    assert [r["occurred_at"] for r in records] == sorted(r["occurred_at"] for r in records)


def test_dropped_calls_are_counted_and_gone():
    truth, records = told(Incident("d", "drop", START, START + HOUR, {"team": "search"}))
    assert not any(r["team"] == "search" and r["occurred_at"] < START + HOUR for r in records)
    assert truth.incidents[0]["dropped_events"] > 100


def test_a_new_model_and_an_overspend_are_priced_against_what_would_have_been():
    swap = Incident("n", "new_model", START, START + HOUR, {"team": "ads"}, model="anthropic/claude-sonnet-4.6")
    more = Incident("o", "overspend", START, START + HOUR, {"model": "claude-sonnet-4.6", "team": "coding"}, factor=10)
    stories = {story["name"]: story for story in told(swap, more)[0].incidents}
    assert 0 < stories["n"]["excess_pico_usd"] < stories["n"]["cost_pico_usd"]
    ratio = stories["o"]["cost_pico_usd"] / (stories["o"]["cost_pico_usd"] - stories["o"]["excess_pico_usd"])
    assert ratio == pytest.approx(10, rel=0.01)
