"""Who runs, by the heartbeats of the last hour."""

from dataclasses import dataclass

from spendstream.runtime import clock
from spendstream.runtime.kafka.reader import read_tail
from spendstream.runtime.settings import Settings
from spendstream.schemas import decode

LAST_HOUR_BEATS = 30_000
RECENT_BEATS = 2_000
MISSED_BEATS = 3


@dataclass(frozen=True)
class Beat:
    """Newest heartbeat of a service instance; `age_ms` is how long ago."""

    service: str
    instance: str
    state: str
    control_offset: int
    age_ms: int
    interval_ms: int

    @property
    def is_alive(self) -> bool:
        return self.state == "running" and self.age_ms < MISSED_BEATS * self.interval_ms

    @property
    def is_lost(self) -> bool:
        """It stopped beating without having said that it was stopping."""
        return self.state != "stopping" and not self.is_alive


async def newest(settings: Settings, beats: int = LAST_HOUR_BEATS) -> dict[str, Beat]:
    """Newest heartbeat by `service/instance` among the last `beats`."""
    found: dict[str, Beat] = {}
    now = clock.now_us()
    for record in await read_tail(settings, "service-heartbeats", beats):
        _, beat = decode(record.value)
        age_ms = (now - int(beat["beat_at"].timestamp() * 1_000_000)) // 1_000
        found[f"{beat['service']}/{beat['instance']}"] = Beat(
            beat["service"], beat["instance"], beat["state"], beat["control_offset"], age_ms, beat["interval_ms"]
        )
    return found


async def running(settings: Settings) -> dict[str, Beat]:
    """Instances that have beaten within three intervals and are not stopping."""
    return {name: beat for name, beat in (await newest(settings, RECENT_BEATS)).items() if beat.is_alive}
