"""The one engine behind all tables: a payload and a `Source` in, Usage fields or a refusal out."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Final

from spendstream.domain.money import quantise_usd
from spendstream.domain.payloads.paths import Expression, NotACount, expression
from spendstream.domain.payloads.source import (
    COUNTS,
    FAMILIES,
    OPERATIONS,
    PROVIDERS,
    STATUSES,
    TIERS,
    Adapted,
    Check,
    Refused,
    Source,
)
from spendstream.domain.tokens import MAX_REQUESTS, MAX_TOKENS, MISMATCH, MISMATCH_REASON, REPORTED

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM: Final = 10**11  # seconds below this, milliseconds from it on: the year 5138 against 1973
_CACHE: Final = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
#: What fits into a total together. Audio and image may be cached as well, so they are compared apart from the cache.
_INSIDE: Final = (
    ("input_tokens", _CACHE),
    ("input_tokens", ("audio_input_tokens", "image_input_tokens")),
    ("output_tokens", ("reasoning_tokens", "audio_output_tokens")),
)
_LATEST_DIGITS: Final = 12  # of a time in milliseconds: the year 2286
_LONG: Final = 2**63 - 1
_PLAIN: Final = (str, int, float, Decimal)
_SECRETS: Final = ("sk-", "sk_", "Bearer ")
_FALSE: Final = frozenset(("false", "0", "no", "none", "miss"))
TEXTS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "provider": lambda text: PROVIDERS.get(text.lower(), text.lower()),
    "service_tier": lambda text: TIERS.get(text.lower(), text.lower()),
    "operation": lambda text: OPERATIONS.get(text.lower(), text),
    "status": lambda text: STATUSES.get(text.lower(), text),
}
_MOST: Final[Mapping[str, int]] = {
    **dict.fromkeys(REPORTED, MAX_TOKENS),
    "requests": MAX_REQUESTS,
    "latency_ms": _LONG,
    "max_tokens": _LONG,
}
NEGATIVE_BUCKET: Final = "negative_bucket"


def read(source: Source, payload: Mapping[str, Any], said: Mapping[str, Any]) -> Adapted | Refused:
    """`payload` by the table of `source`. `said`: Usage fields known from elsewhere; they win over the payload."""
    first = _read_once(source, payload, said)
    doubtful = first.reason == NEGATIVE_BUCKET if isinstance(first, Refused) else bool(first.mismatch)
    for other in source.otherwise if doubtful else ():
        second = _read_once(other, payload, said)
        if isinstance(second, Adapted) and not second.mismatch and _says_a_total(other, payload):
            return second
    return first


def _says_a_total(source: Source, payload: Mapping[str, Any]) -> bool:
    """Only a total that fits is evidence for another reading; one that is missing is not."""
    return any(expression(check.reported).count(payload) is not None for check in source.checks)


def _read_once(source: Source, payload: Mapping[str, Any], said: Mapping[str, Any]) -> Adapted | Refused:
    fields: dict[str, Any] = {"convention": source.convention, **source.fixed}
    try:
        for name, text in source.fields.items():
            if (value := _field(name, expression(text), payload)) is not None:
                fields[name] = value
        fields.update({name: value for name, value in said.items() if value is not None})
        differences = [found for check in source.checks if (found := _difference(check, payload, fields))]
    except NotACount as error:
        return Refused("not_a_count", str(error))
    _name_model(source, fields)
    missing = [name for name in source.required if fields.get(name) is None]
    if missing:
        where = tuple(f"{name} ({source.fields.get(name, 'not in this payload')})" for name in missing)
        return Refused("missing_fields", f"{source.name} without {', '.join(where)}", where)
    if (refused := _impossible(source, fields)) is not None:
        return refused
    mismatch = "; ".join(text for _, text in differences)
    if differences:  # the first check is the widest total
        said_so = {MISMATCH: str(differences[0][0]), MISMATCH_REASON: mismatch}
        fields["attributes"] = {**fields.get("attributes", {}), **said_so}
    return Adapted(source.name, fields, mismatch)


def _name_model(source: Source, fields: dict[str, Any]) -> None:
    """Find the provider where a table allows to, and take it off the model's name (`vertex_ai/gemini-2.5-pro`)."""
    model = fields.get("model")
    if model is None:
        return
    prefix, slash, rest = model.partition("/")
    if source.provider_by_model and "provider" not in fields:
        maker = PROVIDERS.get(prefix.lower(), prefix.lower()) if slash else None
        maker = maker or next((name for family, name in FAMILIES.items() if model.lower().startswith(family)), None)
        if maker is not None:
            fields["provider"] = maker
    if slash and rest and PROVIDERS.get(prefix.lower(), prefix.lower()) == fields.get("provider"):
        fields["model"] = rest


def _field(name: str, where: Expression, payload: Mapping[str, Any]) -> Any:
    """The value of one Usage field, in its units; None when the payload does not say."""
    if name in COUNTS:
        return where.count(payload)
    if name in TEXTS:  # a name that says nothing (OpenAI's batch: false) leaves the word to the next alternative
        known = (TEXTS[name](str(value)) for value in where.values(payload) if isinstance(value, _PLAIN))
        return next((text for text in known if text is not None), None)
    value = where.value(payload)
    if value is None:
        return None
    if name == "occurred_at":
        return micros(where.text, value)
    if name == "reported_cost_pico_usd":
        return _pico(where.text, value)
    if not isinstance(value, _PLAIN):  # a structure where a name should be says nothing, and may hold a prompt
        return None
    if name == "cache_hit":
        return str(value).lower() not in _FALSE
    return _without_secret(str(value)) if name == "api_key_id" else str(value)


def _without_secret(text: str) -> str:
    """An identifier of a key; where a tool wrote the key itself, its SHA-256 (as LiteLLM writes keys anyway)."""
    return sha256(text.encode()).hexdigest() if text.startswith(_SECRETS) else text


def micros(where: str, value: Any) -> int:
    """Microseconds of a Unix time (seconds or milliseconds) or of an ISO 8601 text; without an offset it is UTC.

    `NotACount` when it is neither.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return _of_text(where, str(value))
    if not number.is_finite() or number.adjusted() > _LATEST_DIGITS:
        raise NotACount(f"{where} is {value!r}, not a time")
    return int(number * (1_000 if abs(number) >= _MILLISECONDS_FROM else 1_000_000))


def _of_text(where: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError:
        raise NotACount(f"{where} is {text!r}, not a time") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _pico(where: str, value: Any) -> int:
    """Dollars as pico-dollars. Sources print binary fractions: anything finer is rounded half-even."""
    try:
        pico, _ = quantise_usd(str(value))
    except ValueError:
        pico = _LONG + 1
    if abs(pico) > _LONG:
        raise NotACount(f"{where} is {value!r}, not an amount of dollars")
    return pico


def _difference(check: Check, payload: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[int, str] | None:
    """By how many tokens a reported total differs from every sum it may be, and in words; None where it does not."""
    reported = expression(check.reported).count(payload)
    if reported is None:
        return None
    sums = [sum(int(fields.get(name) or 0) for name in names) for names in check.sums]
    if reported in sums:
        return None
    return reported - sums[0], f"{check.reported} is {reported}, its classes add up to {sums[0]}"


def _impossible(source: Source, fields: Mapping[str, Any]) -> Refused | None:
    """What domain/tokens.py would reject for ever, refused here with the payload at hand and under the same reasons."""
    for name, most in _MOST.items():
        count = int(fields.get(name) or 0)
        if count < 0:
            reason = "negative_tokens" if name in REPORTED else f"negative_{name}"
            return Refused(reason, f"{name} ({source.fields.get(name, name)}) comes to {count}")
        if count > most:
            return Refused("token_limit", f"{name} is {count}, beyond {most}")
    if fields["convention"] != "inclusive":
        return None
    for whole, parts in _INSIDE:
        inside = _sum(fields, parts)
        if inside > int(fields.get(whole) or 0):
            return Refused(NEGATIVE_BUCKET, f"{whole} is {fields.get(whole) or 0}, but {inside} are said to be in it")
    return None


def _sum(fields: Mapping[str, Any], names: Sequence[str]) -> int:
    return sum(int(fields.get(name) or 0) for name in names)
