"""Bringing one usage partition back: snapshot and id log from disk, the rest along the plan log from Kafka."""

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from spendstream.attribution.usage.recovery import published_rows
from spendstream.attribution.usage.state import NOTHING, IdLog, PartitionState, Redo, Snapshots
from spendstream.domain.attribution.dedup import DedupIndex
from spendstream.runtime import clock
from spendstream.runtime.kafka.plan_log import Plan, PlanHistory, PlanLog, UsagePartition
from spendstream.runtime.kafka.reader import log_bounds
from spendstream.runtime.kafka.topic_id import topic_id
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.service import Context

log = structlog.get_logger()
TOPIC = "usage"
#: Name of the identity hash; polars may change it between versions, and then old id logs must not be believed.
HASHER = "polars2.1-rows"

Loaded = tuple[PartitionState, PlanLog, Snapshots, IdLog]


async def load_partition(context: Context, partition: int, partitions: int) -> tuple[Loaded, int]:
    """State of a partition, its files, and the usage offset to read from. `NotNowError` when the broker is away."""
    settings = context.settings
    folder = settings.service_home(context.service) / str(partition)
    snapshots = Snapshots(folder)
    plans = PlanLog(settings, context.publisher, partition)
    try:
        usage = await _usage_now(context, partition)
        history = await plans.load(usage, snapshots.plan_at())
        dedup = DedupIndex(settings.dedup_horizon_s * 1_000, max(1, settings.dedup_capacity // partitions))
        state = PartitionState(partition, history.incarnation, dedup, applied=history.next_first - 1)
        known = snapshots.load(state, history.next_first)
        ids = IdLog(folder, HASHER, history.incarnation)
        covered = ids.load(dedup, clock.now_ms() - dedup.horizon_ms)
        if covered >= history.next_first:
            ids.forget_all()
            dedup.clear()
            covered = NOTHING
        if history.plans and (not known or covered == NOTHING):
            history = await plans.load(usage)
    except (KafkaError, OSError) as error:
        raise NotNowError(f"loading usage/{partition}: {error!r}") from error
    if not known and history.plans and _rows_from(history) < usage.start:
        # usage was trimmed inside the open minutes: rows rebuilt from the rest would be other rows, counted twice.
        last = history.plans[-1]
        through = last.first - 1
        state.owner, state.caller = await published_rows(context, history.incarnation, partition, through)
        state.applied, state.watermark, known = through, int(last.record["watermark"]), True
        for rollups in (state.owner, state.caller):
            rollups.close(state.watermark, settings.allowed_lateness_s * 1_000_000, last.first)
        log.warning("open minutes were taken from costs: usage no longer holds them", partition=partition)
    state.redo.extend(_redo(history, state.applied if known else NOTHING, covered, usage.horizon))
    position = max(usage.start, state.redo[0].plan.first if state.redo else history.next_first)
    state.read = position - 1
    log.info(
        "partition loaded", partition=partition, incarnation=history.incarnation, snapshot=known,
        planned_through=history.next_first - 1, redo=len(state.redo), ids=dedup.count, position=position,
    )  # fmt: skip
    return (state, plans, snapshots, ids), position


def _redo(history: PlanHistory, applied: int, covered: int, horizon: int) -> list[Redo]:
    """Plans to go through again. `applied`, `covered`: last offset rows and ids are known to include (NOTHING: none).

    Without a snapshot the open rows are rebuilt from the smallest offset the last plan names; only that plan can be
    unpublished, because a range is planned after its predecessor's costs were acknowledged.
    """
    if not history.plans:
        return []
    last = history.plans[-1]
    rows_from = _rows_from(history) if applied == NOTHING else applied + 1
    ids_from = horizon if covered == NOTHING else covered + 1

    def entry(plan: Plan) -> Redo:
        rows = plan.last >= rows_from
        publish = rows and (applied != NOTHING or plan is last)
        return Redo(plan, rows=rows, ids=plan.last >= ids_from, publish=publish)

    return [entry(plan) for plan in history.plans if plan.last >= min(rows_from, ids_from)]


def _rows_from(history: PlanHistory) -> int:
    """Smallest usage offset from which the open rows can be rebuilt."""
    last = history.plans[-1].record
    return min(int(last["rebuild_from"]), int(last["oldest_row"]))


async def _usage_now(context: Context, partition: int) -> UsagePartition:
    consumer = AIOKafkaConsumer(**context.settings.kafka(), enable_auto_commit=False, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        tp = TopicPartition(TOPIC, partition)
        start, end = await log_bounds(consumer, tp)
        since = clock.now_ms() - context.settings.dedup_horizon_s * 1_000
        found = (await consumer.offsets_for_times({tp: since})).get(tp)
        horizon = end if found is None or found.offset < 0 else int(found.offset)
        return UsagePartition(await topic_id(consumer, TOPIC), start, end, horizon)
    finally:
        await consumer.stop()
