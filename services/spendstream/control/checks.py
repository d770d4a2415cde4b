"""What each kind of document must say. One entry a kind; the rules themselves live with their domain."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from spendstream.domain.allocation.rules import parse_rule, rewritten, unknown_metrics
from spendstream.domain.attribution.owners import parse_owner
from spendstream.domain.attribution.tags import parse_tag_policy
from spendstream.domain.billing.tolerance import parse_tolerance
from spendstream.domain.budgets.documents import parse_budget
from spendstream.domain.gpu import parse_sharing
from spendstream.domain.prices import ModelPrice, check_change, parse_fx_rate, parse_price

Wrong = Sequence[tuple[str, str]]
Spec = Mapping[str, Any]
Check = Callable[[str, str, Spec], Wrong]


def _price(org: str, name: str, spec: Spec) -> Wrong:
    return [(error.path, error.message) for error in parse_price(spec).errors]


def _fx_rate(org: str, name: str, spec: Spec) -> Wrong:
    return parse_fx_rate(spec)[1]


def _budget(org: str, name: str, spec: Spec) -> Wrong:
    return [(str(path), message) for path, message in parse_budget(org, name, spec)[1]]


def _owner(org: str, name: str, spec: Spec) -> Wrong:
    return parse_owner(org, name, spec)[1]


def _fields(required: Iterable[str], optional: Iterable[str]) -> Check:
    needed, allowed = list(required), [*required, *optional]

    def check(org: str, name: str, spec: Spec) -> Wrong:
        missing = [(field, "is missing") for field in needed if field not in spec]
        unknown = [
            (str(field), f"is not a field here; known: {', '.join(allowed)}") for field in spec if field not in allowed
        ]
        return [*missing, *unknown]

    return check


def _rule(org: str, name: str, spec: Spec) -> Wrong:
    return parse_rule(org, name, spec)[1]


POLICY_KINDS = (
    "training_job",
    "cost_per_request",
    "approved_models",
    "tags",
    "expected_hour",
    "gpu_sharing",
    "reconciliation",
)


def _policy(org: str, name: str, spec: Spec) -> Wrong:
    if spec.get("kind") not in POLICY_KINDS:
        return [("kind", f"must be one of {', '.join(POLICY_KINDS)}")]
    if spec["kind"] == "gpu_sharing":
        return parse_sharing(spec)[1]
    if spec["kind"] == "reconciliation":
        return parse_tolerance(name, spec)[1]
    return parse_tag_policy(org, name, spec)[1] if spec["kind"] == "tags" else []


CHECKS: Mapping[str, Check] = {
    "Price": _price,
    "FxRate": _fx_rate,
    "Budget": _budget,
    "Owner": _owner,
    "AttributionRule": _rule,
    "Policy": _policy,
    "Route": _fields(["to"], ["match", "renotify"]),
    "Silence": _fields(["match"], ["starts_at", "ends_at", "reason"]),
    "Approval": _fields([], ["requestor", "amount_usd", "justification", "expires_at", "approvers", "scope"]),
}


def check_spec(org: str, kind: str, name: str, spec: Spec) -> Wrong:
    """Everything wrong with a document: (path inside the spec, message)."""
    check = CHECKS.get(kind)
    if check is None:
        return [("", f"unknown kind {kind}; known: {', '.join(CHECKS)}")]
    return check(org, name, spec)


def check_against(kind: str, old: Spec, new: Spec) -> Wrong:
    """What is suspicious about replacing `old` by `new`: only a price can be."""
    if kind != "Price":
        return []
    before, after = parse_price(old).price, parse_price(new).price
    if before is None or after is None:
        return []
    return [(error.path, error.message) for error in check_change(before, after)]


def priced(spec: Spec) -> tuple[tuple[str, ...], int] | None:
    """What a price is about, whatever it is called, and since when; None for one that cannot be read."""
    price = parse_price(spec).price
    if price is None:
        return None
    names = (price.provider, price.model) if isinstance(price, ModelPrice) else ("gpu", price.gpu)
    return (*names, price.region or ""), price.effective_from


def warnings(kind: str, spec: Spec, before: Spec | None = None) -> Wrong:
    """What is odd but legal; `before` is the document it replaces."""
    if kind == "Price":
        return [(warning.path, warning.message) for warning in parse_price(spec).warnings]
    if kind == "AttributionRule" and (rule := parse_rule("", "", spec)[0]) is not None:
        old = parse_rule("", "", before)[0] if before is not None else None
        return [*unknown_metrics(rule), *(rewritten(old, rule) if old else ())]
    return []


def identity(kind: str, name: str, spec: Spec) -> str:
    """What a later document replaces: kind/name, for a price also its effective_from."""
    if kind != "Price":
        return f"{kind}/{name}"
    price = parse_price(spec).price
    start = price.effective_from if isinstance(price, ModelPrice) or price is not None else 0
    return f"{kind}/{name}/{start}"
