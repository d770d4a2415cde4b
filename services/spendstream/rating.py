"""What control documents mean to whoever prices usage: the price book and the owner registry at a control offset."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import structlog

from spendstream.domain.attribution.owners import Owner, OwnerRegistry, parse_owner
from spendstream.domain.attribution.tags import TagPolicy, parse_tag_policy
from spendstream.domain.prices import (
    PRICED,
    Catalogue,
    Coded,
    FxRates,
    ModelPrice,
    PriceBook,
    PriceRevision,
    Rated,
    parse_fx_rate,
    parse_price,
)
from spendstream.domain.tokens import Normalised, normalise
from spendstream.runtime.control import ControlLog, Document
from spendstream.runtime.retry import NotNowError

log = structlog.get_logger()
#: Where each disjoint bucket stands on a usage record of convention `disjoint`.
REPORTED_AS = {
    "input_uncached": "input_tokens",
    "input_cache_read": "cache_read_tokens",
    "input_cache_write_5m": "cache_write_5m_tokens",
    "input_cache_write_1h": "cache_write_1h_tokens",
    "output_text": "output_tokens",
    "output_reasoning": "reasoning_tokens",
    "input_audio": "audio_input_tokens",
    "output_audio": "audio_output_tokens",
    "input_image": "image_input_tokens",
}
PRICE_KINDS = frozenset({"Price", "FxRate"})
KINDS = PRICE_KINDS | {"Owner", "Policy"}
Rows = npt.NDArray[np.bool_]


class Prices:
    """A price book for each organisation with prices of its own; the others share the catalogue's."""

    def __init__(self, books: Mapping[str, PriceBook], catalogue: PriceBook) -> None:
        self._books, self._catalogue = books, catalogue

    def of(self, org: str) -> PriceBook:
        """The book that prices an organisation's usage."""
        return self._books.get(org, self._catalogue)

    def rate(self, usage: pl.DataFrame, normalised: Normalised) -> Rated:
        """`PriceBook.rate` over events of any organisations."""
        orgs: dict[int, list[str]] = {}
        for org in usage["org"].unique().to_list():
            orgs.setdefault(id(self.of(org)), []).append(org)
        if len(orgs) <= 1:
            book = self.of(next(iter(orgs.values()))[0]) if orgs else self._catalogue
            return book.rate(usage, normalised)
        parts = []
        for members in orgs.values():
            rows = usage["org"].is_in(members).to_numpy()
            parts.append((rows, self.of(members[0]).rate(usage.filter(pl.Series(rows)), _only(normalised, rows))))
        return _together(usage.height, parts)


def _only(normalised: Normalised, rows: Rows) -> Normalised:
    return Normalised(
        {name: values[rows] for name, values in normalised.buckets.items()},
        normalised.requests[rows], normalised.rejected[rows], normalised.reason[rows], normalised.token_mismatch[rows],
    )  # fmt: skip


def _together(size: int, parts: Sequence[tuple[Rows, Rated]]) -> Rated:
    """Rated parts back in the order of the batch."""

    def column(name: str) -> Any:
        first = getattr(parts[0][1], name)
        if isinstance(first, Coded):
            codes = np.zeros(size, dtype=np.int32)
            values: list[str] = []
            for rows, rated in parts:
                codes[rows] = getattr(rated, name).codes + len(values)
                values += getattr(rated, name).values
            return Coded(codes, tuple(values))
        whole = np.zeros(size, dtype=first.dtype)
        for rows, rated in parts:
            whole[rows] = getattr(rated, name)
        return whole

    return Rated(**{field.name: column(field.name) for field in fields(Rated)})


@dataclass(frozen=True)
class Book:
    """Prices and owners as known at one control offset."""

    control_offset: int
    prices: Prices
    owners: OwnerRegistry


class BookShelf:
    """Books by control offset; compiled once per change of a price or owner."""

    def __init__(self, control: ControlLog) -> None:
        self._control = control
        self._catalogue = Catalogue()
        self._books: dict[int, Book] = {}

    def now(self) -> Book:
        """The book of everything known."""
        return self.at(self._control.offset)

    def at(self, control_offset: int) -> Book:
        """The book as it was just before a control offset. `NotNowError` while not all of it has been read."""
        if control_offset > self._control.offset:
            raise NotNowError(f"control documents below {control_offset} are not read yet")
        version = self._control.last_change(KINDS, control_offset)
        if version not in self._books:
            if len(self._books) > 8:
                self._books.clear()
            self._books[version] = self._compile(version)
        book = self._books[version]
        return Book(control_offset, book.prices, book.owners)

    def reprice(self, provider: str, model: str, tokens: Mapping[str, int], requests: int, at: int) -> int | None:
        """Pico-dollars of token sums (by disjoint bucket) over `requests` calls at the price in force at `at`
        (microseconds); None without a complete price."""
        row: dict[str, object] = {
            "provider": provider, "model": model, "service_tier": None, "region": None, "occurred_at": at,
            "cache_hit": False, "convention": "disjoint", "requests": requests,
            **{reported: tokens.get(bucket, 0) for bucket, reported in REPORTED_AS.items()},
        }  # fmt: skip
        usage = pl.DataFrame([row], schema_overrides={"service_tier": pl.String, "region": pl.String})
        rated = self.now().prices.of("default").rate(usage, normalise(usage))
        return int(rated.cost_pico_usd[0]) if rated.status[0] == PRICED else None

    def _compile(self, version: int) -> Book:
        documents = list(self._control.documents(at=version))
        books = {
            org: PriceBook.build(price_revisions(own), self._catalogue, exchange_rates(own))
            for org, own in _by_org(documents).items()
            if any(document.kind == "Price" for document in own)
        }
        owners = [owner for document in documents if (owner := _owner(document))]
        policies = [policy for document in documents if (policy := _tag_policy(document))]
        return Book(version, Prices(books, PriceBook.build([], self._catalogue)), OwnerRegistry(owners, policies))


def _by_org(documents: Iterable[Document]) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for document in documents:
        found.setdefault(document.org, []).append(document)
    return found


def price_revisions(documents: Iterable[Document]) -> list[PriceRevision]:
    """The token prices among an organisation's documents."""
    return [revision for document in documents if (revision := _revision(document)) is not None]


def exchange_rates(documents: Iterable[Document]) -> FxRates:
    """An organisation's exchange rates; of two for one day the one that was known later."""
    own = sorted((document for document in documents if document.kind == "FxRate"), key=lambda d: d.offset)
    parsed = [parse_fx_rate(document.spec)[0] for document in own]
    return FxRates(rate for rate in parsed if rate is not None)


def _revision(document: Document) -> PriceRevision | None:
    if document.kind != "Price":
        return None
    parsed = parse_price(document.spec)
    if parsed.errors or not isinstance(parsed.price, ModelPrice):
        if parsed.errors:
            log.error("price document ignored", key=document.key, errors=[str(error) for error in parsed.errors])
        return None
    return PriceRevision(document.name, parsed.price, document.revision, document.known_at)


def _owner(document: Document) -> Owner | None:
    if document.kind != "Owner":
        return None
    owner, errors = parse_owner(document.org, document.name, document.spec)
    if errors:
        log.error("owner document ignored", key=document.key, errors=errors)
    return owner


def _tag_policy(document: Document) -> TagPolicy | None:
    if document.kind != "Policy" or document.spec.get("kind") != "tags":
        return None
    policy, errors = parse_tag_policy(document.org, document.name, document.spec)
    if errors:
        log.error("tag policy ignored", key=document.key, errors=errors)
    return policy
