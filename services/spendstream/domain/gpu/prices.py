"""What an hour of a GPU costs: `Price` documents with `gpu` and `usd_per_hour`, by sample time (domain.md §3)."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from spendstream.domain.prices.model import ALWAYS, GpuPrice, timestamp

#: Why a GPU has no price: nobody prices the model · none in force then · only other regions have one.
NO_MODEL, NO_DATE, NO_REGION = "model", "date", "region"
_VENDORS: Final = ("nvidia ", "tesla ")
_MIG: Final = " mig "


@dataclass(frozen=True, slots=True)
class GpuPriceRevision:
    """A GPU's price as it was known from `known_at` (microseconds). Identity: `name` + its `effective_from`."""

    name: str
    price: GpuPrice
    revision: int = 1
    known_at: int = ALWAYS

    @property
    def price_id(self) -> str:
        """`name@effective_from#revision`: stands on every row this price made."""
        return f"{self.name}@{timestamp(self.price.effective_from)}#{self.revision}"


class GpuPriceBook:
    """All GPU prices of an organisation, the last revision of each."""

    def __init__(self, revisions: Iterable[GpuPriceRevision] = ()) -> None:
        last: dict[tuple[str, int], GpuPriceRevision] = {}
        for revision in sorted(revisions, key=lambda r: (r.known_at, r.revision, r.name)):
            last[revision.name, revision.price.effective_from] = revision
        timelines: dict[tuple[str, str], dict[int, GpuPriceRevision]] = {}
        for revision in last.values():
            key = (model_key(revision.price.gpu), revision.price.region or "")
            timelines.setdefault(key, {})[revision.price.effective_from] = revision
        self._timelines = {key: [found[start] for start in sorted(found)] for key, found in timelines.items()}
        self._models = {model for model, _ in self._timelines}

    def knows(self, gpu_model: str) -> bool:
        """Whether the model has a price at some time, somewhere."""
        return model_key(gpu_model) in self._models

    def at(self, gpu_model: str, region: str, moment: int) -> GpuPriceRevision | str:
        """The price in force at `moment` (microseconds), or the reason why there is none.

        A price of the region wins over one without; the next price's start ends the one before it.
        """
        model = model_key(gpu_model)
        if model not in self._models:
            return NO_MODEL
        for place in dict.fromkeys((region, "")):
            if (found := _in_force(self._timelines.get((model, place), []), moment)) is not None:
                return found
        return NO_DATE if self._timelines.get((model, "")) or self._timelines.get((model, region)) else NO_REGION

    def periods(self, gpu_model: str, region: str) -> list[tuple[int, GpuPriceRevision | str]]:
        """What `at` says from each moment on, in order of time; the first is from always."""
        timelines = (self._timelines.get((model_key(gpu_model), place), []) for place in (region, ""))
        prices = [revision.price for timeline in timelines for revision in timeline]
        ends = (price.effective_to for price in prices if price.effective_to is not None)
        moments = sorted({ALWAYS, *(price.effective_from for price in prices), *ends})
        return [(moment, self.at(gpu_model, region, moment)) for moment in moments]


@lru_cache(maxsize=10_000)
def model_key(gpu_model: str) -> str:
    """A device name without its maker, letter case and MIG profile: drivers and exporters disagree on those."""
    name = " ".join(gpu_model.lower().split()).split(_MIG)[0]
    for vendor in _VENDORS:
        name = name.removeprefix(vendor)
    return name


def _in_force(revisions: list[GpuPriceRevision], moment: int) -> GpuPriceRevision | None:
    i = bisect_right(revisions, moment, key=lambda revision: revision.price.effective_from) - 1
    if i < 0:
        return None
    end = revisions[i].price.effective_to
    return revisions[i] if end is None or moment < end else None
