"""Lines of bills as `billing_items` has them, and what they are known by."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from spendstream.domain.billing.withdrawal import NEEDED, TIMES
from spendstream.operations.store import Store
from spendstream.runtime import clock

CHUNK_ROWS = 1_000

Item = dict[str, Any]


class Key(NamedTuple):
    """Which line, inside an organisation."""

    provider_name: str
    billing_period_start: datetime
    line_id: str


class Scope(NamedTuple):
    """What a bill is about, inside an organisation."""

    provider_name: str
    billing_period_start: datetime
    billing_account_id: str

    def __str__(self) -> str:
        account = f", account {self.billing_account_id}" if self.billing_account_id else ""
        return f"{self.provider_name}, {self.billing_period_start:%Y-%m-%d}{account}"


def key_of(item: Mapping[str, Any]) -> Key:
    """The line a `BillingItem` is a version of."""
    return Key(item["provider_name"], _start(item), item["line_id"])


def scope_of(item: Mapping[str, Any]) -> Scope:
    """The bill a `BillingItem` is on."""
    return Scope(item["provider_name"], _start(item), item["billing_account_id"])


def message_key(item: Mapping[str, Any]) -> bytes:
    """Key of its record on the topic."""
    return f"{item['org']}/{item['provider_name']}/{_start(item):%Y-%m-%d}/{item['line_id']}".encode()


def next_version(store: Store) -> int:
    """Later than every version there is, also when another machine's clock was ahead."""
    [(newest,)] = store.rows("select max(version) from billing_items")
    return max(clock.now_us(), int(newest) + 1)


def contents(store: Store, org: str, items: Sequence[Item]) -> dict[Key, str]:
    """What the newest version of each of these lines says, as a digest."""
    starts = sorted({_start(item) for item in items})
    rows = store.rows(
        "select provider_name, billing_period_start, line_id, argMax(content, version) from billing_items"
        " where org = %(org)s and provider_name in %(providers)s and line_id in %(lines)s"
        f" and billing_period_start in ({', '.join(_moment(start) for start in starts)})"
        " group by provider_name, billing_period_start, line_id",
        org=org,
        providers=sorted({item["provider_name"] for item in items}),
        lines=[item["line_id"] for item in items],
    )
    return {Key(provider, start, line): str(digest) for provider, start, line, digest in rows}


def lacks(store: Store, item: Item) -> bool:
    """Whether the table lacks this version of a line."""
    version = item["imported_at"]
    moment = "" if version is None else f" and version >= {int(version.timestamp() * 1_000_000)}"
    [(count,)] = store.rows(
        f"select count() from billing_items where org = %(org)s and provider_name = %(provider)s"
        f" and line_id = %(line)s{moment}",
        org=item["org"],
        provider=item["provider_name"],
        line=item["line_id"],
    )
    return not count


def standing(store: Store, org: str, scope: Scope) -> Sequence[str]:
    """Ids of the lines that a bill has now."""
    rows = store.rows(f"select line_id from v_bill where {_on(scope)}", org=org, **_values(scope))
    return [str(row[0]) for row in rows]


def lines(store: Store, org: str, scope: Scope, line_ids: Collection[str]) -> Sequence[Item]:
    """These lines as they stand, with what a withdrawal needs and with `billed_cost`; times in microseconds."""
    micros = {name: f"toUnixTimestamp({name}) * 1000000" for name in TIMES}
    columns = ", ".join(micros.get(name, name) for name in (*NEEDED, "billed_cost"))
    sql = f"select {columns} from v_bill where {_on(scope)} and line_id in %(lines)s"
    ids, found = iter(sorted(line_ids)), []
    while chunk := list(islice(ids, CHUNK_ROWS)):
        for row in store.rows(sql, org=org, lines=chunk, **_values(scope)):
            found.append(dict(zip((*NEEDED, "billed_cost"), row, strict=True)))
    return found


def _on(scope: Scope) -> str:
    return (
        "org = %(org)s and provider_name = %(provider)s and billing_account_id = %(account)s"
        f" and billing_period_start = {_moment(scope.billing_period_start)}"
    )


def _values(scope: Scope) -> dict[str, str]:
    return {"provider": scope.provider_name, "account": scope.billing_account_id}


def _start(item: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(item["billing_period_start"] // 1_000_000, UTC)


def _moment(moment: datetime) -> str:
    return f"toDateTime({int(moment.timestamp())}, 'UTC')"
