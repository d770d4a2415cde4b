"""Whose device is it? Shares of one device: used by owners, idle at owners, idle at nobody; together exactly one.

Used is what a holder's processes took of the SM time (or memory, by policy). Each holder is entitled to an equal share,
or to the time slices it holds of those the device hands out. What nobody used goes to those who left their entitlement
unused, in proportion to what they left: `idle_owner` for a holder, `idle` for what is allocated to nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from spendstream.domain.gpu.policy import MEMORY, SM
from spendstream.domain.gpu.sample import Instance, Process, Sample

USED, IDLE_OWNER, IDLE = "used", "idle_owner", "idle"
NOBODY = Process({})
ZERO, ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True, slots=True)
class Share:
    """`share` of the device or slice the sample speaks for. `process` has no identity where the owner is unknown."""

    instance: str
    kind: str
    process: Process
    share: Fraction


def share_device(sample: Sample, basis: str = SM) -> list[Share]:
    """Positive shares that sum to exactly 1, in a fixed order. `basis`: SM or MEMORY."""
    shares = [share for instance in sample.instances for share in _share_instance(instance, sample.time_slices, basis)]
    rest = ONE - sum((instance.fraction for instance in sample.instances), ZERO)
    shares.append(Share("", IDLE, NOBODY, rest))  # what no MIG instance was made of
    return [share for share in shares if share.share]


def _share_instance(instance: Instance, time_slices: int | None, basis: str) -> Iterator[Share]:
    processes = instance.processes
    if not processes and instance.activity:  # it worked, and nobody says for whom
        processes = [NOBODY]
    used = _used(instance, processes, basis)
    if (total := sum(used, ZERO)) > 1:
        used, total = [part / total for part in used], ONE
    entitled, free = _entitled(processes, time_slices)
    left = [max(ZERO, own - part) for own, part in zip(entitled, used, strict=True)]
    unused = (ONE - total) / whole if (whole := sum(left, free)) else ZERO
    for process, part, rest in zip(processes, used, left, strict=True):
        yield Share(instance.name, USED, process, instance.fraction * part)
        yield Share(instance.name, IDLE_OWNER, process, instance.fraction * rest * unused)
    yield Share(instance.name, IDLE, NOBODY, instance.fraction * free * unused)


def _entitled(processes: Sequence[Process], time_slices: int | None) -> tuple[list[Fraction], Fraction]:
    """What each process is entitled to, and what is allocated to nobody."""
    held = [process.time_slices if process.holds else 0 for process in processes]
    slices = max(sum(held), time_slices or 0)
    if not slices:
        return [ZERO for _ in held], ONE
    entitled = [Fraction(count, slices) for count in held]
    return entitled, ONE - sum(entitled, ZERO)


def _used(instance: Instance, processes: Sequence[Process], basis: str) -> list[Fraction]:
    """What each process used of the instance; by SM time also where memory was asked for and nobody measured it."""
    if basis == MEMORY and (by_memory := _memory(instance, processes)) is not None:
        return by_memory
    measured = [process.sm_share for process in processes]
    unmeasured = sum(process.time_slices for process, share in zip(processes, measured, strict=True) if share is None)
    known = sum((share for share in measured if share is not None), ZERO)
    # Nobody measured anything: no evidence of idleness, so whoever is on the device has it all.
    activity = ONE if instance.activity is None and unmeasured and not known else instance.activity or ZERO
    rest = max(ZERO, activity - known)
    return [
        rest * process.time_slices / unmeasured if share is None and unmeasured else share or ZERO
        for process, share in zip(processes, measured, strict=True)
    ]


def _memory(instance: Instance, processes: Sequence[Process]) -> list[Fraction] | None:
    """Shares of the instance's memory; None where it was not measured."""
    if not instance.memory_total_bytes:
        return None
    used = [process.memory_bytes for process in processes]
    if used == [None]:
        used = [instance.memory_used_bytes]
    if any(each is None for each in used):
        return None
    return [Fraction(each or 0, instance.memory_total_bytes) for each in used]
