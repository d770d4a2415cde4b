"""Running one service: connections, control documents, health, heartbeats, and its faust apps in one worker."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from mode import Service

from spendstream.runtime import clock, logs, metrics
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.control import ControlFollower
from spendstream.runtime.health import HealthServer
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.settings import Settings
from spendstream.schemas import encode

log = structlog.get_logger()
HEARTBEAT_S = 1.0
START_DEADLINE_S = 120.0


class Context(Service):  # type: ignore[misc]  # mode is untyped
    """What every service has; starts before its faust apps and stops after them."""

    def __init__(self, service: str, settings: Settings) -> None:
        super().__init__()
        self.service = service
        self.settings = settings
        self.publisher = Publisher(settings)
        self.control = ControlFollower(settings)
        self.clickhouse = ClickHouse(settings)
        self.health = HealthServer(settings.http_host, settings.http_port)
        self.http_port = 0
        self._instance = f"{socket.gethostname()}-{os.getpid()}"

    async def on_start(self) -> None:
        self.http_port = await self.health.start()
        away = (KafkaError, OSError)
        await retrying("connecting to Kafka", self.publisher.start, retry_on=away, deadline_s=START_DEADLINE_S)
        await retrying("reading control documents", self.control.start, retry_on=away, deadline_s=START_DEADLINE_S)
        log.info("started", http_port=self.http_port, control_offset=self.control.log.offset)

    async def on_stop(self) -> None:
        await self._beat("stopping")
        await self.control.stop()
        await self.publisher.stop()
        await self.health.stop()
        self.clickhouse.close()

    @Service.task  # type: ignore[untyped-decorator]
    async def _heartbeats(self) -> None:
        while not self.should_stop:
            metrics.control_offset.set(self.control.log.offset)
            await self._beat("running")
            await self.sleep(HEARTBEAT_S)

    async def _beat(self, state: str) -> None:
        record = {
            "service": self.service,
            "instance": self._instance,
            "control_offset": self.control.log.offset,
            "beat_at": clock.now_us(),
            "state": state,
            "interval_ms": int(HEARTBEAT_S * 1000),
        }
        key = f"{self.service}/{self._instance}".encode()
        try:
            await self.publisher.send("service-heartbeats", [(key, encode("ServiceHeartbeat", record))])
        except NotNowError as error:
            log.warning("no heartbeat", error=str(error)[:200])


class Beside(Service):  # type: ignore[misc]  # mode is untyped
    """Starts a faust app without waiting for its group to form: the apps of a service join side by side."""

    def __init__(self, app: faust.App) -> None:
        super().__init__()
        self._app = app

    @Service.task  # type: ignore[untyped-decorator]
    async def _start_it(self) -> None:
        await self._app.start()

    async def on_stop(self) -> None:
        await self._app.stop()


Build = Callable[[Context], Sequence[faust.App | Service]]


def run_service(service: str, settings: Settings, build: Build) -> None:
    """Run until SIGTERM or SIGINT; leaves with a non-zero code when a run could not be processed."""
    logs.configure(service, settings.log_level, settings.log_format)
    _fast_loop()
    context = Context(service, settings)
    app, *others = build(context)
    for each in (app, *others):
        if isinstance(each, faust.App):
            context.health.ready[each.conf.id] = partial(_waiting, each)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    beside = [Beside(other) if isinstance(other, faust.App) else other for other in others]
    worker = faust.Worker(
        app, context, *beside, loglevel="warning", quiet=True, override_logging=False, redirect_stdouts=False
    )
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    worker.execute_from_commandline()


def _waiting(app: faust.App) -> str | None:
    return None if app.consume_loop.ready else "waiting for partitions"


def _fast_loop() -> None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return
    policy: Any = uvloop.EventLoopPolicy()
    asyncio.set_event_loop_policy(policy)
