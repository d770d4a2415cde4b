"""The doctor's judgement: what was found, whether that is well, and what to do about it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spendstream.runtime.heartbeats import Beat

OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"

BEHIND_WARN_S, BEHIND_FAIL_S = 10.0, 300.0
REJECTED_WARN = 0.01
UNPRICED_FAIL = 0.5
MISMATCH_WARN = 0.01
#: Without it nothing is attributed; the others may be left out on purpose.
INDISPENSABLE = "attribution"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table."""

    check: str
    state: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Backlog:
    """Records somebody has not processed yet; `age_s` is how long the oldest of them has been waiting."""

    reader: str
    topic: str
    partition: int
    records: int
    age_s: float


def topics(declared: Mapping[str, int], existing: Mapping[str, int]) -> Finding:
    """Topic → partitions, as declared and as on the broker."""
    missing = sorted(set(declared) - set(existing))
    if missing:
        return Finding("topics", FAIL, f"missing: {', '.join(missing)}", "run `spendstream topics apply`")
    if existing["attribution-plans"] != existing["usage"]:
        found = f"usage has {existing['usage']} partitions, attribution-plans {existing['attribution-plans']}"
        return Finding("topics", FAIL, found, "give attribution-plans as many partitions as usage has")
    other = [f"{name} {existing[name]} (declared {count})" for name, count in sorted(declared.items())
             if existing[name] != count and name != "attribution-plans"]  # fmt: skip
    if other:
        advice = "intended? otherwise recreate the topic: more partitions start a new deduplication horizon"
        return Finding("topics", WARN, f"other partition counts: {', '.join(other)}", advice)
    return Finding("topics", OK, f"{len(declared)} as declared")


def migrations(shipped: Mapping[int, tuple[str, str]], applied: Mapping[int, str]) -> Finding:
    """`shipped`: number → (file name, digest); `applied`: number → digest."""
    missing = [name for number, (name, _) in sorted(shipped.items()) if number not in applied]
    if missing:
        return Finding("migrations", FAIL, f"not applied: {', '.join(missing)}", "run `spendstream migrate`")
    edited = [name for number, (name, digest) in sorted(shipped.items()) if applied[number] != digest]
    if edited:
        advice = "the tables were made by another version of these files: add changes as new files"
        return Finding("migrations", FAIL, f"changed after they were applied: {', '.join(edited)}", advice)
    if newer := sorted(set(applied) - set(shipped)):
        found = f"{len(newer)} unknown to this version, up to number {newer[-1]}"
        return Finding("migrations", WARN, found, "this program is older than the database: upgrade it")
    return Finding("migrations", OK, f"{len(shipped)} applied")


def dropped(tables: Iterable[str]) -> Finding:
    """Tables and views that applied migrations made and that are gone."""
    advice = "dropped by hand: restore tables from a backup; a view is in infra/clickhouse"
    return Finding("migrations", FAIL, f"applied, but not there: {', '.join(sorted(tables))}", advice)


def service(name: str, beats: Sequence[Beat], control_end: int) -> Finding:
    """`beats`: newest heartbeat of each of its instances lately; `control_end`: next offset of the control topic."""
    check, alive = f"service {name}", [beat for beat in beats if beat.is_alive]
    if alive:
        behind = [beat.instance for beat in alive if beat.control_offset < control_end]
        if behind:
            advice = "look at its log: control documents reach a service within seconds"
            return Finding(check, WARN, f"does not hold the newest control documents: {', '.join(behind)}", advice)
        return Finding(check, OK, f"{len(alive)} running")
    start = f"start it: `spendstream run {name}`"
    lost = [beat for beat in beats if beat.is_lost]
    if lost:
        last = min(lost, key=lambda beat: beat.age_ms)
        found = f"{last.instance} was last heard {last.age_ms / 1000:.0f} s ago"
        return Finding(check, FAIL, found, f"it died or cannot reach the broker: read its log, {start}")
    found = "stopped in order" if beats else "not heard lately"
    return Finding(check, FAIL if name == INDISPENSABLE else WARN, found, f"{start}, if it is wanted")


def backlog(check: str, backlogs: Sequence[Backlog], advice: str) -> Finding:
    """Judged by the oldest record that waits, not by how many do."""
    waiting = [each for each in backlogs if each.records > 0]
    if not waiting:
        return Finding(check, OK, "nothing waits")
    worst = max(waiting, key=lambda each: each.age_s)
    found = (
        f"{sum(each.records for each in waiting)} records wait; the oldest for {worst.age_s:.1f} s"
        f" ({worst.reader} on {worst.topic}/{worst.partition})"
    )
    if worst.age_s < BEHIND_WARN_S:
        return Finding(check, OK, found)
    return Finding(check, FAIL if worst.age_s >= BEHIND_FAIL_S else WARN, found, advice)


def rejected(rejections: int, events: int, limit: float) -> Finding:
    """Dead letters among the events of the last hour; `limit` is the share that raises an alert."""
    share = rejections / events if events else 0.0
    found = f"{rejections} of {events} events in the last hour ({share:.2%})"
    advice = "`spendstream dead-letters show`; put right what sends them, then `dead-letters replay`"
    if share >= limit:
        return Finding("dead letters", FAIL, found, advice)
    return (
        Finding("dead letters", WARN, found, advice) if share >= REJECTED_WARN else Finding("dead letters", OK, found)
    )


def unpriced(events: int, without_price: int, models: Sequence[str]) -> Finding:
    """Events of the last day that have no price or only part of one."""
    share = without_price / events if events else 0.0
    if not without_price:
        return Finding("unpriced", OK, f"none of {events} events in the last day")
    found = f"{without_price} of {events} events in the last day ({share:.2%}): {', '.join(models)}"
    advice = "`spendstream apply -f` Price documents for these models (v_unpriced says why)"
    return Finding("unpriced", FAIL if share >= UNPRICED_FAIL else WARN, found, advice)


def token_totals(events: int, unequal: int, models: Sequence[str]) -> Finding:
    """Events of the last day whose reported totals are not the sum of their token classes."""
    share = unequal / events if events else 0.0
    found = f"{unequal} of {events} events in the last day do not add up ({share:.2%})"
    if share < MISMATCH_WARN:
        return Finding("token totals", OK, found)
    advice = "v_token_mismatch says by how much: a provider has a new token class, or an adapter reads one twice"
    return Finding("token totals", WARN, f"{found}: {', '.join(models)}", advice)


def gpus(
    readings: int, without_price: int, models: Sequence[str], unequal: int, overlapping: int = 0, overlap_ms: int = 0
) -> Finding:
    """GPU readings of the last day: how many have no price, how many cost something else than their shares; devices
    whose time is billed more than once, and how much of it."""
    if unequal:
        found = f"{unequal} of {readings} readings cost something else than their shares in gpu_costs"
        return Finding(
            "GPUs", FAIL, found, "rows were changed by hand, or this is a bug: keep `gpu-telemetry`, report this"
        )
    if without_price:
        found = f"{without_price} of {readings} readings in the last day have no price: {', '.join(models)}"
        advice = "`spendstream apply` Price documents with these gpu names: what was read already is priced then"
        return Finding("GPUs", WARN, found, advice)
    if overlapping:
        found = f"{overlap_ms / 3_600_000:.2f} h of {overlapping} devices are billed twice since yesterday"
        return Finding("GPUs", WARN, found, "let one sampler watch a device; v_gpu_overlaps says which have more")
    return Finding("GPUs", OK, f"{readings} readings of the last day, each the sum of its shares")


def conservation(difference: int, ranges_counted: int, charges: int) -> Finding:
    """`difference` of v_conservation; counted events of the last day's ranges and the charges that are there."""
    if difference:
        found = f"in − priced − partial − unpriced − duplicate − rejected = {difference}"
        return Finding("conservation", FAIL, found, "events were lost or counted twice: keep `usage`, report this")
    if ranges_counted != charges:
        found = f"the last day's ranges count {ranges_counted} charges, the table holds {charges}"
        return Finding("conservation", FAIL, found, "charges were deleted or inserted by hand, or this is a bug")
    return Finding("conservation", OK, f"difference 0; {charges} charges of the last day are all there")


def horizon(new_ids: int, capacity: int, horizon_s: int) -> Finding:
    """Ids counted within the deduplication horizon, and how many attribution can hold (as configured here)."""
    hours = horizon_s / 3_600
    found = f"{new_ids} ids within {hours:g} h, room for {capacity}"
    if new_ids <= capacity:
        return Finding("duplicates horizon", OK, found)
    advice = (
        f"only about {hours * capacity / new_ids:.1f} h are held: raise SPENDSTREAM_DEDUP_CAPACITY, add attribution"
        " workers, or lower SPENDSTREAM_DEDUP_HORIZON_S knowingly"
    )
    return Finding("duplicates horizon", WARN, found, advice)
