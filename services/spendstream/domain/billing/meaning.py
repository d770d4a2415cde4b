"""What a line of a bill is for us: spend category, the stream's names for provider and model, tokens, owner tags."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final

from spendstream.domain.attribution.owners import UNALLOCATED

#: Provider names on bills → the ids usage is recorded under. The first pattern that is found wins.
_PROVIDERS: Final = (
    (r"amazon|\baws\b", "aws"),
    (r"microsoft|azure", "azure"),
    (r"google|\bgcp\b|alphabet", "google"),
    (r"openai", "openai"),
    (r"anthropic", "anthropic"),
    (r"mistral", "mistral"),
    (r"cohere", "cohere"),
    (r"groq", "groq"),
    (r"\bx\.?ai\b", "x-ai"),
    (r"deepseek", "deepseek"),
    (r"together", "together"),
    (r"fireworks", "fireworks"),
    (r"perplexity", "perplexity"),
    (r"openrouter", "openrouter"),
)
#: Those that sell nothing but model calls.
_MODEL_SELLERS: Final = frozenset(name for _, name in _PROVIDERS) - {"aws", "azure", "google"}
_LEGAL_FORMS: Final = re.compile(r",?\s+(inc|llc|ltd|pbc|gmbh|sarl|corp|co)\.?$", re.IGNORECASE)

#: FOCUS ServiceCategory → our spend category, where the line itself does not say more.
_CATEGORIES: Final = {
    "ai and machine learning": "external_apis",
    "analytics": "data_processing",
    "business applications": "licensing",
    "databases": "data_storage",
    "storage": "data_storage",
}
_TRAINING: Final = re.compile(r"\btrain|fine.?tun", re.IGNORECASE)
_HOSTING: Final = re.compile(r"endpoint|hosting|provisioned throughput|inference (instance|unit)", re.IGNORECASE)
_GPU: Final = re.compile(
    r"\b(gpu|tpu|[hab]100|[hb]200|gb200|l40s?|l4|t4|v100|a10g?|p[345](d|de|e|en)?\.|g[456](e|dn)?\.|trn[12]|inf[12])",
    re.IGNORECASE,
)

_TOKENS: Final = re.compile(
    r"^(?:per )?(?P<count>[\d.,]+|one|a)?\s*(?P<scale>k|m|b|thousand|million|billion)?\s*"
    r"(?:input |output |cached |reasoning )*(?P<what>tokens?|requests?|api requests?|calls?)$"
)
_SCALES: Final = {"k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6, "b": 10**9, "billion": 10**9}

#: Tag names (lower case, blanks and hyphens as underscores) that mean one of our four.
_TAGS: Final = {
    "team": ("team", "owner_team", "team_name"),
    "project": ("project", "project_name", "project_id"),
    "environment": ("environment", "env", "stage"),
    "cost_center": ("cost_center", "costcenter", "cost_centre", "costcentre"),
}
_MODEL_COLUMNS: Final = ("x_Model", "x_ModelId", "x_ModelName", "x_model", "x_model_id")
_MODEL_DETAILS: Final = ("ModelId", "Model", "ModelName", "x_Model", "x_ModelId")
# anthropic.claude-sonnet-4-6-v1:0, models/gemini-2.5-pro, gpt-5.4-2026-03-05, claude-haiku-4-5-20251001
_MODEL_FRONT: Final = re.compile(r"^(?:models/|(?:[a-z]{2}\.)?(?:anthropic|meta|mistral|cohere|amazon|openai)[./])")
_MODEL_TAIL: Final = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|-20\d{6})?(?:-v\d+(?::\d+)?)?$")


@lru_cache(maxsize=10_000)
def provider_id(name: str) -> str:
    """The id the stream knows a provider by: `Amazon Web Services, Inc.` is `aws`."""
    lowered = name.lower()
    for pattern, identity in _PROVIDERS:
        if re.search(pattern, lowered):
            return identity
    return re.sub(r"\s+", "-", _LEGAL_FORMS.sub("", lowered).strip())


def model_id(name: str) -> str:
    """A model's name as usage spells it: lower case, without vendor, release date and revision."""
    spelled = re.sub(r"\s+", "-", name.strip().lower())
    return _MODEL_TAIL.sub("", _MODEL_FRONT.sub("", spelled))


def model_of(columns: Mapping[str, str]) -> str:
    """The model a line names in an x_ column or in SkuPriceDetails; empty when it names none."""
    named = next((columns[name] for name in _MODEL_COLUMNS if name in columns), None)
    if named is None and (details := columns.get("SkuPriceDetails")):
        try:
            found = json.loads(details)
        except ValueError:
            found = None
        if isinstance(found, Mapping):
            named = next((str(found[key]) for key in _MODEL_DETAILS if found.get(key)), None)
    return model_id(named) if named else ""


def spend_category(provider: str, service_category: str, texts: str, unit: str | None) -> str:
    """Our category of a line. `provider`: its id; `texts`: service name and description; `unit`: of its quantity."""
    category = service_category.lower()
    if category in ("ai and machine learning", "") and provider in _MODEL_SELLERS:
        return "external_apis"
    if category == "ai and machine learning":
        if _TRAINING.search(texts):
            return "compute_training"
        return "compute_inference" if _HOSTING.search(texts) else "external_apis"
    if category == "compute" and _GPU.search(texts):
        return "compute_training" if _TRAINING.search(texts) else "compute_inference"
    if not category and metered(unit, Decimal(1)) is not None:
        return "external_apis"
    return _CATEGORIES.get(category, "infrastructure")


def metered(unit: str | None, quantity: Decimal) -> tuple[str, Decimal] | None:
    """What a quantity counts: (`tokens` | `requests`, how many); None for any other unit.

    A quantity of 2 in `1M Tokens` is 2 000 000 tokens.
    """
    matched = _TOKENS.match((unit or "").strip().lower())
    if matched is None:
        return None
    count = matched["count"]
    try:
        each = Decimal(1) if count in (None, "one", "a") else Decimal(count.replace(",", ""))
    except ArithmeticError:
        return None
    what = "tokens" if matched["what"].startswith("token") else "requests"
    return what, quantity * each * _SCALES.get(matched["scale"], 1)


def owner_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Team, project, environment and cost centre from a line's tags; `unallocated` where it has none."""
    found = {_tag_name(key): value.strip() for key, value in reversed(list(tags.items()))}
    return {tag: next((found[name] for name in names if found.get(name)), UNALLOCATED) for tag, names in _TAGS.items()}


def _tag_name(key: str) -> str:
    # Providers mark what users set: user:team, user_team.
    bare = re.sub(r"^(user|aws|label|resourcetags)[:/]", "", key.strip().lower())
    return re.sub(r"[\s\-.]+", "_", bare.rsplit("/", 1)[-1])
