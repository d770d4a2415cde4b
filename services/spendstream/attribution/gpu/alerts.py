"""A GPU model without a price is alerted once, as governance, and resolves when a price covers all its readings."""

from collections.abc import Iterable
from typing import Any

from spendstream.domain.alerts import fingerprint
from spendstream.runtime import clock
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.schemas import encode

#: Organisation and GPU model.
Model = tuple[str, str]


class UnpricedModels:
    """Which models are known to have no price, so that each is said once."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._known: set[Model] = set()

    async def note(self, models: Iterable[Model]) -> None:
        """Readings of these models have no price. `NotNowError` when the broker is away."""
        for model in sorted(set(models) - self._known):
            await self._publish(model, firing=True)
            self._known.add(model)

    async def settle(self, still: Iterable[Model]) -> None:
        """These models, and no others, have readings without a price; what they had before a restart was said then."""
        now = set(still)
        for model in sorted(self._known - now):
            await self._publish(model, firing=False)
        self._known = now

    async def _publish(self, model: Model, firing: bool) -> None:
        alert = unpriced_gpu_alert(model, firing, clock.now_us())
        await self._publisher.send("alerts", [(alert["alert_id"].encode(), encode("Alert", alert))])


def unpriced_gpu_alert(model: Model, firing: bool, now: int) -> dict[str, Any]:
    """Alert record; its revision is the time it was said."""
    org, name = model
    scope = {"org": org, "gpu_model": name}
    return {
        "org": org,
        "alert_id": fingerprint("governance", "unpriced_gpu", scope, None),
        "kind": "governance",
        "name": "unpriced_gpu",
        "state": "firing" if firing else "resolved",
        "severity": "warning",
        "revision": now,
        "scope": scope,
        "title": f"{name} has no price: what it costs is unknown, not zero" if firing else f"{name} has a price",
        "description": "v_gpu_unpriced says since when. A Price document with this gpu prices what was read already.",
        "runbook": f"Apply a Price document with gpu: {name} and usd_per_hour.",
        "started_at": now,
        "updated_at": now,
        "resolved_at": None if firing else now,
        "emitted_at": now,
    }
