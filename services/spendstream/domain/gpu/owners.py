"""Who owns a share of a device: the process's own tags first, then the owner registry, else `unallocated`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spendstream.domain.attribution.owners import GPU_PREFIX_KEYS, UNALLOCATED, Owner
from spendstream.domain.attribution.tags import TAGS
from spendstream.domain.effective import Turns

REMEMBERED = 65_536


@dataclass(frozen=True, slots=True)
class Owned:
    """The four tags, the service, and where the team came from: event, registry or unallocated."""

    tags: Mapping[str, str]
    service: str
    source: str


class GpuOwners:
    """The owner registry, asked about processes. The first match by name wins; prefix keys match beginnings."""

    def __init__(self, owners: Iterable[Owner] = ()) -> None:
        self._owners = sorted(owners, key=lambda owner: (owner.org, owner.name))
        self._turns = Turns(owner.effective for owner in self._owners)
        self._found: dict[tuple[int, tuple[tuple[str, str], ...]], Owned] = {}

    def find(self, org: str, host: str, identity: Mapping[str, str], at: int) -> Owned:
        """The owner of what runs as `identity` (namespace, pod, job, team, …) on `host` at a moment (microseconds)."""
        facts = {"org": org, "host": host, **identity}
        key = (self._turns.stretch(at), tuple(facts.items()))
        if key not in self._found:
            if len(self._found) >= REMEMBERED:  # names come from producers
                self._found.clear()
            self._found[key] = self._look_up(org, facts, identity, at)
        return self._found[key]

    def _look_up(self, org: str, facts: Mapping[str, str], identity: Mapping[str, str], at: int) -> Owned:
        own = (owner for owner in self._owners if owner.org == org and owner.effective.covers(at))
        owner = next((owner for owner in own if _matches(owner, facts)), None)
        registered: Mapping[str, str] = owner.tags if owner else {}
        tags = {tag: identity.get(tag) or registered.get(tag) or UNALLOCATED for tag in TAGS}
        service = identity.get("service") or (owner.service if owner else "")
        source = "event" if identity.get("team") else "registry" if registered.get("team") else UNALLOCATED
        return Owned(tags, service, source)


def _matches(owner: Owner, facts: Mapping[str, str]) -> bool:
    for key, wanted in owner.match.items():
        if key in GPU_PREFIX_KEYS:
            if not facts.get(key.removesuffix("_prefix"), "").startswith(wanted):
                return False
        elif facts.get(key) != wanted:
            return False
    return True
