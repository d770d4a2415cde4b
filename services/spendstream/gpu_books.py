"""What control documents say of GPUs at one control offset: prices, owners, sharing, an organisation at a time."""

from collections.abc import Mapping, Sequence

import structlog

from spendstream.domain.attribution.owners import parse_owner
from spendstream.domain.gpu import SM, GpuBook, GpuOwners, GpuPriceBook, GpuPriceRevision, parse_sharing
from spendstream.domain.prices import GpuPrice, parse_price
from spendstream.runtime.control import ControlLog, Document

log = structlog.get_logger()
PRICE_KINDS = frozenset({"Price"})
KINDS = PRICE_KINDS | {"Owner", "Policy"}
NOTHING_DECLARED = GpuBook()


class GpuShelf:
    """The newest books, compiled once per change; may be asked from several threads."""

    def __init__(self, control: ControlLog) -> None:
        self._control = control
        self._held: tuple[int, Mapping[str, GpuBook]] = (-1, {})

    def version(self, control_offset: int) -> int:
        """Control offset behind the last document before `control_offset` that books are made of."""
        return self._control.last_change(KINDS, control_offset)

    def at(self, control_offset: int) -> Mapping[str, GpuBook]:
        """Books by organisation just before a control offset; who declared nothing has NOTHING_DECLARED."""
        held, version = self._held, self.version(control_offset)
        if held[0] != version:
            by_org: dict[str, list[Document]] = {}
            for document in self._control.documents(at=version):
                by_org.setdefault(document.org, []).append(document)
            held = self._held = (version, {name: compile_book(documents) for name, documents in by_org.items()})
        return held[1]

    def prices(self) -> Mapping[str, GpuPriceBook]:
        """Prices by organisation, of everything known."""
        return {org: book.prices for org, book in self.at(self._control.offset).items()}


def compile_book(documents: Sequence[Document]) -> GpuBook:
    """What an organisation's documents say about GPUs; of several sharing policies the last by name stands."""
    prices = [revision for each in documents if each.kind == "Price" and (revision := _price(each))]
    owners = [
        owner
        for each in documents
        if each.kind == "Owner" and (owner := parse_owner(each.org, each.name, each.spec)[0])
    ]
    basis = SM
    for each in sorted(documents, key=lambda document: document.name):
        if each.kind == "Policy" and each.spec.get("kind") == "gpu_sharing":
            basis = parse_sharing(each.spec)[0]
    return GpuBook(GpuPriceBook(prices), GpuOwners(owners), basis)


def _price(document: Document) -> GpuPriceRevision | None:
    price = parse_price(document.spec).price
    if not isinstance(price, GpuPrice):
        return None
    return GpuPriceRevision(document.name, price, document.revision, document.known_at)
