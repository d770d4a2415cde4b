"""The stream's estimate against the invoice, and why they differ (domain.md §4).

A *cell* is one organisation, provider, day and model; a month instead of a day where the bill's lines are longer than a
day; no model where the bill names none. Compared are model calls (`external_apis`) without taxes. The invoice is the
effective cost: what was used costs on its day what was paid for it, also out of a commitment.

The variance, invoice − estimate, is the sum of seven amounts, exactly:

late            corrections of charges invoiced before, and usage the bill does not reach yet: −estimate.
commitment_or_discount
                credits, purchases, refunds, adjustments, and effective cost − what the estimate means by a price:
                effective, contracted or list cost, whichever comes nearest to it at the stream's quantity.
missing_usage   the bill's tokens the stream has not seen, at the bill's price.
duplicate       lines the bill has twice; as a negative amount, tokens the stream has and the bill has not.
unpriced        the stream's tokens without a price, at the bill's price; without quantities, what a cell with unpriced
                or partly priced usage lacks.
rounding        what is left, up to half a unit of the bill's last decimal a line.
price           what is left beyond that: the same tokens at another price.
"""

from dataclasses import dataclass
from typing import Final

CLASSES: Final = (
    "price", "missing_usage", "duplicate", "unpriced", "commitment_or_discount", "rounding", "late",
)  # fmt: skip
MATCH: Final = "match"


@dataclass(frozen=True, slots=True)
class Cell:
    """What both sides say. Amounts are pico-dollars of the bill's usage lines unless they say otherwise; `quantity` is
    its tokens, in 10⁻¹² tokens, None where a line counts none. `repeated_*`: of them, lines that are there twice."""

    covered: bool
    estimate: int = 0
    events: int = 0
    unpriced_events: int = 0
    partial_events: int = 0
    stream_tokens: int = 0
    unpriced_tokens: int = 0
    lines: int = 0
    effective: int = 0
    contracted: int = 0
    list_cost: int = 0
    quantity: int | None = None
    repeated_effective: int = 0
    repeated_contracted: int = 0
    repeated_list: int = 0
    repeated_quantity: int = 0
    #: Effective cost of credits, purchases, refunds and adjustments, and of correction lines.
    other: int = 0
    corrections: int = 0
    #: Decimals the bill's costs are written with.
    decimals: int = 12

    @property
    def invoice(self) -> int:
        return self.effective + self.other + self.corrections


@dataclass(frozen=True, slots=True)
class Variance:
    """The seven amounts, pico-dollars."""

    price: int = 0
    missing_usage: int = 0
    duplicate: int = 0
    unpriced: int = 0
    commitment_or_discount: int = 0
    rounding: int = 0
    late: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, name) for name in CLASSES)

    @property
    def largest(self) -> str:
        """The class with the largest amount, the first of equals; `match` when there is no variance to explain."""
        name = max(CLASSES, key=lambda each: abs(getattr(self, each)))
        return name if getattr(self, name) else MATCH


TOKEN: Final = 10**12


def share(amount: int, part: int, whole: int) -> int:
    """`amount × part / whole`, towards zero."""
    product = amount * part
    return product // whole if product >= 0 else -(-product // whole)


def variance(cell: Cell) -> Variance:
    """Why invoice and estimate of a cell differ; the amounts add up to `cell.invoice - cell.estimate`."""
    stream = cell.stream_tokens * TOKEN
    countable = cell.quantity is not None and cell.quantity > 0 and stream > 0
    twice = _billed_twice(cell, stream if countable else None)
    effective = cell.effective - (cell.repeated_effective if twice else 0)
    contracted = cell.contracted - (cell.repeated_contracted if twice else 0)
    list_cost = cell.list_cost - (cell.repeated_list if twice else 0)
    quantity = (cell.quantity or 0) - (cell.repeated_quantity if twice else 0)
    measured = countable and quantity > 0

    priced = stream - cell.unpriced_tokens * TOKEN
    meant = min(
        (effective, contracted, list_cost),
        key=lambda cost: abs((share(cost, priced, quantity) if measured else cost) - cell.estimate),
    )
    found = {
        "duplicate": cell.repeated_effective if twice else 0,
        "commitment_or_discount": cell.other + effective - meant,
        "late": cell.corrections,
    }
    if not cell.covered:
        found["late"] += meant - cell.estimate
    elif cell.lines == 0:
        found["duplicate"] -= cell.estimate
    elif cell.events == 0:
        found["missing_usage"] = meant
    elif measured:
        at_quantity = share(meant, stream, quantity)
        side = "missing_usage" if quantity > stream else "duplicate"
        found[side] = found.get(side, 0) + meant - at_quantity
        unpriced = share(at_quantity, cell.unpriced_tokens * TOKEN, stream)
        found |= _rest(cell, at_quantity - unpriced - cell.estimate, unpriced, measured=True)
    else:
        found |= _rest(cell, meant - cell.estimate, 0, measured=False)
    return Variance(**found)


def _billed_twice(cell: Cell, stream: int | None) -> bool:
    """Whether the lines that are there twice are too many: without them the bill still has all the stream has."""
    if not cell.repeated_effective:
        return False
    if stream is not None and cell.quantity is not None:
        return cell.quantity - cell.repeated_quantity >= stream
    return cell.effective - cell.repeated_effective >= cell.estimate


def _rest(cell: Cell, rest: int, unpriced: int, measured: bool) -> dict[str, int]:
    """What differs at the same quantity."""
    bound = cell.lines * (1 if cell.decimals >= 12 else 5 * 10 ** (11 - cell.decimals))
    if abs(rest) <= bound:
        return {"unpriced": unpriced, "rounding": rest}
    if rest > 0 and (cell.partial_events or (cell.unpriced_events and not measured)):
        return {"unpriced": unpriced + rest}
    return {"unpriced": unpriced, "price": rest}
