"""By what several owners of one device share it: a `Policy` document of kind `gpu_sharing`."""

from collections.abc import Mapping
from typing import Any, Final

SM: Final = "sm"
MEMORY: Final = "memory"


def parse_sharing(spec: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """The basis a policy declares (`sm` unless it says otherwise), and the list of (path, what is wrong)."""
    wrong = [(str(key), "is not a field here; known: kind, by") for key in spec if key not in ("kind", "by")]
    basis = spec.get("by", SM)
    if basis not in (SM, MEMORY):
        wrong.append(("by", f"must be {SM} or {MEMORY}"))
    return (SM if wrong else str(basis)), wrong
