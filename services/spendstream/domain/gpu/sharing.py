"""Whose is the device? Shares of one device: used by owners, idle at owners, idle at nobody; together exactly one.

Used is what a holder's processes took of the SM time (or memory, by policy). Each holder is entitled to an equal share,
or to the time slices it holds of those the device hands out. What nobody used goes to those who left their entitlement
unused, in proportion to what they left: `idle_owner` for a holder, `idle` for what is allocated to nobody.

    used u/D · entitled h/S · left max(0, h/S − u/D) · idle = (1 − Σ u/D) × left / Σ left

Everything is worked out in whole numbers over a common denominator: thousands of readings a second go through here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from spendstream.domain.gpu.policy import MEMORY, SM
from spendstream.domain.gpu.sample import Instance, Process, Sample

USED, IDLE_OWNER, IDLE = "used", "idle_owner", "idle"
NOBODY = Process({})
ZERO, ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True, slots=True)
class Share:
    """`parts` ÷ `whole` of the device or slice the sample speaks for. `process` has no identity where the owner is
    unknown."""

    instance: str
    kind: str
    process: Process
    parts: int
    whole: int

    @property
    def share(self) -> Fraction:
        """The share as a number."""
        return Fraction(self.parts, self.whole)


def share_device(sample: Sample, basis: str = SM) -> list[Share]:
    """Positive shares that sum to exactly 1, in a fixed order. `basis`: SM or MEMORY."""
    shares = [share for instance in sample.instances for share in _share_instance(instance, sample.time_slices, basis)]
    rest = ONE - sum((instance.fraction for instance in sample.instances), ZERO)
    if rest:  # what no MIG instance was made of
        shares.append(Share("", IDLE, NOBODY, rest.numerator, rest.denominator))
    return shares


def _share_instance(instance: Instance, time_slices: int | None, basis: str) -> Iterator[Share]:
    """Shares of an instance: `used` and `left` over `whole`, and of what is unused each by what it left."""
    processes = instance.processes
    if not processes and instance.activity:  # it worked, and nobody says for whom
        processes = [NOBODY]
    used, whole = _whole_numbers(_used(instance, processes, basis))
    taken = sum(used)
    whole = max(whole, taken)  # more than all of it is all of it
    held = [process.time_slices if process.holds else 0 for process in processes]
    slices = max(sum(held), time_slices or 0) or 1
    left = [max(0, own * whole - part * slices) for own, part in zip(held, used, strict=True)]
    free = (slices - sum(held)) * whole
    # Nothing is left only where nothing is unused.
    total, unused = (sum(left) + free) or 1, whole - taken
    up, down = instance.fraction.numerator, instance.fraction.denominator * whole * total
    for process, part, rest in zip(processes, used, left, strict=True):
        for kind, parts in ((USED, part * total), (IDLE_OWNER, rest * unused)):
            if parts:
                yield Share(instance.name, kind, process, parts * up, down)
    if free and unused:
        yield Share(instance.name, IDLE, NOBODY, free * unused * up, down)


def _whole_numbers(shares: Sequence[Fraction]) -> tuple[list[int], int]:
    """The shares over their common denominator."""
    common = lcm(*(share.denominator for share in shares))
    return [share.numerator * (common // share.denominator) for share in shares], common


def _used(instance: Instance, processes: Sequence[Process], basis: str) -> list[Fraction]:
    """What each process used of the instance; by SM time also where memory was asked for and nobody measured it."""
    if basis == MEMORY and (by_memory := _memory(instance, processes)) is not None:
        return by_memory
    measured = [process.sm_share for process in processes]
    unmeasured = sum(process.time_slices for process, share in zip(processes, measured, strict=True) if share is None)
    if not unmeasured:
        return [share or ZERO for share in measured]
    known = sum((share for share in measured if share), ZERO)
    # Nobody measured anything: no evidence of idleness, so whoever is on the device has it all.
    activity = ONE if instance.activity is None and not known else instance.activity or ZERO
    rest = max(ZERO, activity - known) if known else activity
    return [
        (rest if process.time_slices == unmeasured else rest * process.time_slices / unmeasured)
        if share is None
        else share
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
