"""The truth's own arithmetic: buckets and price of one event on plain integers and fractions.

Written from semantics.md (Pricing, in order) and domain.md §2-3 a second time on purpose, sharing no line with
`spendstream.domain`: two implementations that agree to the last pico-dollar are evidence, one is not.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN
from operator import itemgetter
from pathlib import Path
from typing import Any

from genai_prices import Usage as OracleUsage
from genai_prices import calc_price

from loadgen.price_file import EPOCH, MICROSECOND, PICO, Version, half_even, load_documents, read_documents

BUCKETS = (
    "input_uncached", "input_cache_read", "input_cache_write_5m", "input_cache_write_1h", "output_text",
    "output_reasoning", "input_audio", "output_audio", "input_image",
)  # fmt: skip
INPUT_PLACES = (0, 1, 2, 3, 6, 8)
COUNTS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "image_input_tokens",
)  # fmt: skip

_counts = itemgetter(*COUNTS)

Buckets = tuple[int, ...]
Model = tuple[str, str]
Record = Mapping[str, Any]


class Rejected(ValueError):
    """The event cannot be billed at all; the text is the reason code."""


def buckets_of(record: Record) -> Buckets:
    """Disjoint tokens in the order of BUCKETS. Raises `Rejected` (`negative_tokens`, `negative_bucket`)."""
    fresh, out, read, w5, w1, thought, audio_in, audio_out, image = _counts(record)
    if min(fresh, out, read, w5, w1, thought, audio_in, audio_out, image) < 0:
        raise Rejected("negative_tokens")
    if record["convention"] == "inclusive":
        out -= thought + audio_out
        fresh -= read + w5 + w1
        if fresh < 0 or out < 0 or audio_in + image > record["input_tokens"]:
            raise Rejected("negative_bucket")
        audio_in = min(audio_in, fresh)  # cached audio counts once, as cached
        image = min(image, fresh - audio_in)
        fresh -= audio_in + image
    return (fresh, read, w5, w1, out, thought, audio_in, audio_out, image)


def input_of(buckets: Buckets) -> int:
    """All input tokens, cached or not."""
    return sum(buckets[place] for place in INPUT_PLACES)


def price_of(version: Version, buckets: Buckets, requests: int, tier: str) -> tuple[int, str]:
    """(cost_pico_usd, status) of one row."""
    factor = version.factors.get(tier)
    if factor is None:
        return 0, "unpriced"
    rates = version.rates[0]
    for tier_rates in version.rates[1:]:
        if input_of(buckets) > tier_rates.above * requests:
            rates = tier_rates
    exact, without_price = requests * version.per_request, False
    for tokens, rate in zip(buckets, rates.per_token, strict=True):
        if rate is not None:
            exact += tokens * rate
        elif tokens:
            without_price = True
    return half_even(exact * factor.numerator, factor.denominator), "partial" if without_price else "priced"


class Book:
    """Prices of a price file; models it does not name are asked of the public catalogue (`genai_prices`)."""

    def __init__(self, documents: Iterable[Mapping[str, Any]], source: str = "prices") -> None:
        self._versions = read_documents(documents, source)
        self._known = {(provider, model) for provider, model, _ in self._versions}
        self._models: dict[Model, Model] = {
            (provider, said): (provider, version.model)
            for (provider, said, _), versions in self._versions.items()
            for version in versions
        }

    @classmethod
    def load(cls, path: Path) -> "Book":
        """Read a file of control documents. Raises `PriceFileError`."""
        return cls(load_documents(path), str(path))

    def price(self, record: Record, buckets: Buckets) -> tuple[int, str]:
        """(cost_pico_usd, `priced | partial | unpriced`) of one event."""
        model = self.model_of(record)
        tier = record["service_tier"] or "standard"
        if model not in self._known:
            cost, status = _oracle(record, buckets, tier)
        else:
            version = self._in_force(model, record["region"], record["occurred_at"])
            cost, status = price_of(version, buckets, record["requests"], tier) if version else (0, "unpriced")
        return (0 if record["cache_hit"] else cost), status

    def model_of(self, record: Record) -> Model:
        """(provider, model) under which the row is billed: a document's aliases first, then the catalogue's names."""
        said = (record["provider"], record["model"])
        if said not in self._models:
            self._models[said] = _published_name(*said)
        return self._models[said]

    def _in_force(self, model: tuple[str, str], region: str | None, moment: int) -> Version | None:
        for wanted in (region, None) if region else (None,):
            versions = self._versions.get((*model, wanted), [])
            place = bisect_right(versions, moment, key=lambda v: v.start) - 1
            if place >= 0 and (versions[place].end is None or moment < versions[place].end):  # type: ignore[operator]
                return versions[place]
        return None


def _published_name(provider: str, model: str) -> Model:
    """What the public catalogue calls a model; its own names where the catalogue does not know it."""
    try:
        found = calc_price(OracleUsage(input_tokens=1), model, provider_id=provider)
    except LookupError:
        return provider, model
    return found.provider.id, found.model.id


def _oracle(record: Record, buckets: Buckets, tier: str) -> tuple[int, str]:
    """What the public catalogue says, for models without a document. It knows no tier the load generator uses."""
    if tier != "standard":
        return 0, "unpriced"
    named = dict(zip(BUCKETS, buckets, strict=True))
    usage = OracleUsage(
        input_tokens=input_of(buckets),
        cache_read_tokens=named["input_cache_read"] or None,
        cache_write_tokens=named["input_cache_write_5m"] + named["input_cache_write_1h"] or None,
        cache_write_5m_tokens=named["input_cache_write_5m"] or None,
        cache_write_1h_tokens=named["input_cache_write_1h"] or None,
        output_tokens=named["output_text"] + named["output_reasoning"] + named["output_audio"],
        input_audio_tokens=named["input_audio"] or None,
        output_audio_tokens=named["output_audio"] or None,
    )
    moment = EPOCH + record["occurred_at"] * MICROSECOND
    try:
        found = calc_price(usage, record["model"], provider_id=record["provider"], genai_request_timestamp=moment)
    except LookupError:
        return 0, "unpriced"
    return int((found.total_price * PICO).to_integral_value(ROUND_HALF_EVEN)), "priced"
