"""One normaliser: whatever a provider's classes contain, out come disjoint buckets (domain.md §2).

`inclusive`: cache reads, cache writes, audio and image are part of input; reasoning and audio output part of output.
`disjoint`: no class contains another. Nothing is repaired silently: a row whose classes cannot be is rejected with a
reason, and by how much a reported total differs from its classes is kept as `token_mismatch`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]
Mask = npt.NDArray[np.bool_]

BUCKETS: Final = (
    "input_uncached",
    "input_cache_read",
    "input_cache_write_5m",
    "input_cache_write_1h",
    "output_text",
    "output_reasoning",
    "input_audio",
    "output_audio",
    "input_image",
)
INPUT_BUCKETS: Final = tuple(name for name in BUCKETS if name.startswith("input_"))

REPORTED: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
)

# Where whoever read a payload says that its total is not the sum of its classes: the signed tokens, and the words.
MISMATCH: Final = "token_mismatch"
MISMATCH_REASON: Final = "token_mismatch_reason"

# Beyond these a count is nonsense, and below them no sum of a row's counts can overflow.
MAX_TOKENS: Final = 10**12
MAX_REQUESTS: Final = 10**9

# Why a row is rejected for ever; `Normalised.reason` and `Rated.reject_reason` index it.
REJECT_REASONS: Final = (
    "",
    "negative_tokens",
    "negative_requests",
    "token_limit",
    "negative_bucket",
    "unknown_convention",
    "amount_overflow",
)
NEGATIVE_TOKENS, NEGATIVE_REQUESTS, TOKEN_LIMIT, NEGATIVE_BUCKET, UNKNOWN_CONVENTION, AMOUNT_OVERFLOW = range(1, 7)


@dataclass(frozen=True, slots=True)
class Normalised:
    """Disjoint token buckets of a batch, row for row. Every array has the batch's length.

    A rejected row has zero in every bucket and in `requests`; `reason` indexes REJECT_REASONS (0: not rejected).
    `token_mismatch`: the reported input minus the classes inside it, where these exceed it together (negative; audio,
    then image gave way to cache), else 0.
    Audio and image that exceed the input without any cache have nothing to give way to: `negative_bucket`.
    """

    buckets: dict[str, Ints]
    requests: Ints
    rejected: Mask
    reason: Codes
    token_mismatch: Ints

    @property
    def input_total(self) -> Ints:
        """All input tokens of each row, cached or not."""
        total = self.buckets[INPUT_BUCKETS[0]].copy()
        for name in INPUT_BUCKETS[1:]:
            total += self.buckets[name]
        return total


def normalise(usage: pl.DataFrame) -> Normalised:
    """Disjoint buckets of `usage` (columns of schemas/Usage.avsc; counts int64, `convention` a string)."""
    counts = {name: _ints(usage, name) for name in REPORTED}
    requests = _ints(usage, "requests")
    inclusive, known = _conventions(usage["convention"])
    reason = _out_of_range(counts, requests)
    reason[(reason == 0) & ~known] = UNKNOWN_CONVENTION
    if reason.any():  # keeps the arithmetic below inside int64
        counts = {name: np.where(reason == 0, values, 0) for name, values in counts.items()}
    buckets, mismatch, negative = _buckets(counts, inclusive)
    reason[(reason == 0) & negative] = NEGATIVE_BUCKET
    rejected = reason != 0
    if rejected.any():
        buckets = {name: np.where(rejected, 0, values) for name, values in buckets.items()}
        requests = np.where(rejected, 0, requests)
        mismatch = np.where(rejected, 0, mismatch)
    return Normalised(buckets, requests, rejected, reason, mismatch)


def _ints(usage: pl.DataFrame, name: str) -> Ints:
    column = usage[name]
    if column.null_count():
        column = column.fill_null(1 if name == "requests" else 0)
    return column.cast(pl.Int64).to_numpy()


def _conventions(convention: pl.Series) -> tuple[Mask, Mask]:
    """Rows that are inclusive, and rows whose convention is one of the two."""
    inclusive = _equals(convention, "inclusive")
    if inclusive.all():
        return inclusive, inclusive
    return inclusive, inclusive | _equals(convention, "disjoint")


def _equals(column: pl.Series, value: str) -> Mask:
    return (column.cast(pl.String) == value).fill_null(False).to_numpy()


def _out_of_range(counts: dict[str, Ints], requests: Ints) -> Codes:
    reason = np.zeros(len(requests), np.int8)
    if len(requests) == 0:
        return reason
    for values, limit, negative in (
        *((values, MAX_TOKENS, NEGATIVE_TOKENS) for values in counts.values()),
        (requests, MAX_REQUESTS, NEGATIVE_REQUESTS),
    ):
        if values.max() > limit:
            reason[(reason == 0) & (values > limit)] = TOKEN_LIMIT
        if values.min() < 0:
            reason[(values < 0) & (reason != NEGATIVE_TOKENS)] = negative
    return reason


def _buckets(counts: dict[str, Ints], inclusive: Mask) -> tuple[dict[str, Ints], Ints, Mask]:
    """The buckets, by how much the input falls short of its classes (0 or negative), and the rows that cannot be."""
    audio, image = counts["audio_input_tokens"], counts["image_input_tokens"]
    reasoning, audio_output = counts["reasoning_tokens"], counts["audio_output_tokens"]
    cache = counts["cache_read_tokens"] + counts["cache_write_5m_tokens"] + counts["cache_write_1h_tokens"]
    whole = inclusive.astype(np.int64)  # 0 where no class contains another
    uncached = counts["input_tokens"] - whole * (cache + audio + image)
    text = counts["output_tokens"] - whole * (reasoning + audio_output)
    mismatch = np.minimum(uncached, 0)
    negative = text < 0
    if mismatch.any():  # audio or image overlap cached tokens
        beyond_input = inclusive & (audio + image > counts["input_tokens"])  # no cache could explain that
        audio, image, uncached = _cached_once(audio, image, uncached)
        negative |= (uncached < 0) | beyond_input
    buckets = dict(
        zip(
            BUCKETS,
            (
                uncached,
                counts["cache_read_tokens"],
                counts["cache_write_5m_tokens"],
                counts["cache_write_1h_tokens"],
                text,
                reasoning,
                audio,
                audio_output,
                image,
            ),
            strict=True,
        )
    )
    return buckets, mismatch, negative


def _cached_once(audio: Ints, image: Ints, uncached: Ints) -> tuple[Ints, Ints, Ints]:
    """Cached audio counts once, as cached: what exceeds the input is taken off audio, then image."""
    excess = np.maximum(-uncached, 0)
    from_audio = np.minimum(audio, excess)
    from_image = np.minimum(image, excess - from_audio)
    return audio - from_audio, image - from_image, uncached + from_audio + from_image
