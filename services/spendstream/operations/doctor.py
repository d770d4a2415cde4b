"""Examining an installation from outside: broker, topics, database, services, and whether the books balance."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from spendstream.corrections.gpu.readings import STANDING
from spendstream.operations import checks, usage_topic
from spendstream.operations.backlogs import backlogs, ledger_positions, log_ends
from spendstream.operations.checks import FAIL, OK, SKIPPED, Finding
from spendstream.operations.positions import Place, place_condition
from spendstream.operations.store import NotMigratedError, Store
from spendstream.runtime import heartbeats
from spendstream.runtime.clickhouse.client import DATABASE
from spendstream.runtime.clickhouse.migrate import migrations
from spendstream.runtime.kafka.admin import partition_counts
from spendstream.runtime.kafka.groups import committed
from spendstream.runtime.resources import shipped
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.settings import Settings
from spendstream.schemas import topics as declared_topics

BROKER_WITHIN_S = 30.0
BROKER_CHECKS = ("topics", "services", "consumers")
BOOKS = ("dead letters", "unpriced", "token totals", "GPUs", "conservation", "duplicates horizon")
MODELS_SHOWN = 5
MISSING = "see `migrations` above"
LAST_DAY = "written_at > now() - interval 1 day"


async def examine(settings: Settings, services: Sequence[str]) -> list[Finding]:
    """Every finding, in the order in which one would look."""
    store, *database = await asyncio.to_thread(_database, settings)
    existing, broker = await _broker(settings)
    findings = [broker, *await _on_broker(settings, services, existing), *database]
    if store is None:
        return [*findings, *(Finding(check, SKIPPED, "needs the tables") for check in ("ledger", *BOOKS))]
    findings.append(await _ledger(settings, store, existing))
    return [*findings, *await asyncio.to_thread(_books, settings, store)]


async def _broker(settings: Settings) -> tuple[Mapping[str, int] | None, Finding]:
    try:
        async with asyncio.timeout(BROKER_WITHIN_S):
            existing = await partition_counts(settings)
    except (KafkaError, OSError, TimeoutError) as error:
        advice = "start it (`spendstream up`), or set KAFKA_BOOTSTRAP and its credentials"
        return None, Finding("broker", FAIL, f"{settings.kafka_bootstrap} {_why(error)}", advice)
    return existing, Finding("broker", OK, settings.kafka_bootstrap)


def _why(error: Exception) -> str:
    """Short: what the library says of its sockets helps nobody."""
    if isinstance(error, KafkaConnectionError | OSError):  # a TimeoutError is an OSError
        return "does not answer"
    return f"says {type(error).__name__}: {str(error)[:80]}"


def _database(settings: Settings) -> tuple[Store | None, Finding, Finding]:
    where = settings.clickhouse_url.get_secret_value().rsplit("@", 1)[-1].removeprefix("http://")
    reachable = Finding("ClickHouse", OK, where)
    try:
        store = Store(settings)
        return store, reachable, _migrations(store)
    except NotMigratedError:
        return None, reachable, checks.migrations(_shipped_migrations(), {})
    except NotNowError as error:
        advice = "start it (`spendstream up`), or set CLICKHOUSE_URL with user and password"
        unreachable = Finding("ClickHouse", FAIL, str(error)[:120], advice)
        return None, unreachable, Finding("migrations", SKIPPED, "needs ClickHouse")


def _migrations(store: Store) -> Finding:
    rows = store.rows(f"select number, digest from {DATABASE}.schema_migrations final")
    found = checks.migrations(_shipped_migrations(), {int(number): str(digest) for number, digest in rows})
    there = {str(name) for (name,) in store.rows(f"select name from system.tables where database = '{DATABASE}'")}
    dropped = {name for each in migrations(shipped("clickhouse")) for name in each.creates} - there
    return found if found.state == FAIL or not dropped else checks.dropped(dropped)


def _shipped_migrations() -> dict[int, tuple[str, str]]:
    return {each.number: (each.path.name, each.digest) for each in migrations(shipped("clickhouse"))}


async def _on_broker(settings: Settings, services: Sequence[str], existing: Mapping[str, int] | None) -> list[Finding]:
    if existing is None:
        return [Finding(check, SKIPPED, "needs the broker") for check in BROKER_CHECKS]
    declared = {name: topic.partitions for name, topic in declared_topics().items()}
    found = [checks.topics(declared, existing)]
    if found[0].state == FAIL:
        return [*found, *(Finding(check, SKIPPED, "needs the topics") for check in BROKER_CHECKS[1:])]
    partitions = [TopicPartition(topic, i) for topic, count in existing.items() for i in range(count)]
    ends = await log_ends(settings, partitions)
    beats = (await heartbeats.newest(settings)).values()
    for name in services:
        mine = [beat for beat in beats if beat.service == name]
        found.append(checks.service(name, mine, ends[TopicPartition("control", 0)]))
    # Who does not run has a line of its own already; his backlog is its consequence.
    running = sorted({beat.service for beat in beats if beat.is_alive})
    suffixes = ("", "-ledger", "-corrections", "-gpu", "-gpu-corrections")
    groups = [f"{name}{suffix}" for name in running for suffix in suffixes]
    waiting = await backlogs(settings, await committed(settings, groups, partitions), ends)
    advice = "add workers (one a partition at most), or look for what keeps the service waiting in its log"
    return [*found, checks.backlog("consumers", waiting, advice)]


async def _ledger(settings: Settings, store: Store, existing: Mapping[str, int] | None) -> Finding:
    if existing is None or "usage" not in existing:
        return Finding("ledger", SKIPPED, "needs the broker")
    try:
        found = await usage_topic.incarnations(settings, existing["usage"])
        positions = await asyncio.to_thread(ledger_positions, store, found)
    except NotMigratedError as error:
        return Finding("ledger", FAIL, str(error), MISSING)
    ends = await log_ends(settings, [tp for _, tp in positions])
    advice = "charges are written behind the stream: look at attribution's log and at the load of ClickHouse"
    return checks.backlog("ledger", await backlogs(settings, positions, ends), advice)


def _books(settings: Settings, store: Store) -> list[Finding]:
    try:
        return [
            _rejected(settings, store),
            _unpriced(store),
            _token_totals(store),
            _gpus(store),
            _conservation(store),
            _horizon(settings, store),
        ]
    except NotMigratedError as error:
        return [Finding(check, FAIL, str(error), MISSING) for check in BOOKS]
    except NotNowError as error:
        return [Finding(check, SKIPPED, str(error)) for check in BOOKS]


def _rejected(settings: Settings, store: Store) -> Finding:
    [(rejections, events)] = store.rows(
        "select sum(rejected), sum(events) from ledger_ranges final where written_at > now() - interval 1 hour"
    )
    return checks.rejected(rejections, events, settings.reject_limit)


def _unpriced(store: Store) -> Finding:
    [(events,)] = store.rows(f"select sum(priced + partial + unpriced) from ledger_ranges final where {LAST_DAY}")
    models = store.rows(
        "select concat(provider, '/', model), count() from v_charges where rated_status != 'priced'"
        " and status != 'priced' and rated_at > now() - interval 1 day group by 1 order by 2 desc"
    )
    without_price, models = sum(count for _, count in models), models[:MODELS_SHOWN]
    return checks.unpriced(events, without_price, [model for model, _ in models])


def _token_totals(store: Store) -> Finding:
    [(events,)] = store.rows(f"select sum(priced + partial + unpriced) from ledger_ranges final where {LAST_DAY}")
    models = store.rows(
        "select concat(provider, '/', model), count() from charges where token_mismatch != 0"
        " and rated_at > now() - interval 1 day group by 1 order by 2 desc"
    )
    return checks.token_totals(events, sum(count for _, count in models), [model for model, _ in models[:MODELS_SHOWN]])


def _gpus(store: Store) -> Finding:
    recent = f"from gpu_costs final where known_at > now() - interval 1 day and {STANDING}"
    [(readings, without_price, unequal)] = store.rows(
        "select count(), countIf(status = 'unpriced'), countIf(cost_usd != arraySum(shares.cost_usd)"
        f" or abs(fraction - arraySum(shares.share)) > 1e-9) {recent}"
    )
    # The cost is written before the reading, so a reading that is there has one.
    [(without_cost,)] = store.rows(
        "select count() from gpu_samples final where rated_at > now() - interval 1 day and not gap"
        " and (org, gpu_uuid, ts) not in"
        " (select org, gpu_uuid, ts from gpu_costs where rated_at > now() - interval 2 day and revision = 0)"
    )
    models = store.rows(
        f"select gpu_model, count() {recent} and status = 'unpriced' group by gpu_model order by 2 desc"
        f" limit {MODELS_SHOWN}"
    )
    [(overlapping, overlap_ms)] = store.rows(
        "select uniqExact(org, gpu_uuid), sum(overlap_ms) from v_gpu_overlaps where day >= yesterday()"
    )
    named = [model for model, _ in models]
    return checks.gpus(readings, without_price, named, unequal + without_cost, overlapping, overlap_ms)


def _conservation(store: Store) -> Finding:
    [(difference,)] = store.rows("select difference from v_conservation")
    counted = 0
    charges = store.rows("select count() from charges where 0")[0][
        0
    ]  # a missing table shows before anything is counted
    for incarnation, partition, first, last, events in store.rows(
        "select incarnation, partition, min(first), max(last), sum(priced + partial + unpriced)"
        f" from ledger_ranges final where {LAST_DAY} group by incarnation, partition"
    ):
        counted += events
        where = f"{place_condition(Place(incarnation, partition))} and offset between {first} and {last}"
        charges += store.rows(f"select count() from charges where {where}")[0][0]
    return checks.conservation(difference, counted, charges)


def _horizon(settings: Settings, store: Store) -> Finding:
    [(ids,)] = store.rows(
        "select sum(priced + partial + unpriced) from ledger_ranges final"
        f" where written_at > now() - interval {settings.dedup_horizon_s} second"
    )
    return checks.horizon(ids, settings.dedup_capacity, settings.dedup_horizon_s)
