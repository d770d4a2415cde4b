"""From dimensions to budgets by hashing, not scanning: a row costs the same among ten budgets and ten thousand."""

from collections.abc import Iterable, Mapping
from typing import Generic, Protocol, TypeVar
from urllib.parse import quote

import numpy as np
import polars as pl

from spendstream.domain.budgets.cube import Ints
from spendstream.domain.budgets.model import DIMENSIONS

Combo = tuple[str, ...]
Scope = tuple[tuple[str, str], ...]


class Scoped(Protocol):
    """Something with an organisation and a scope."""

    @property
    def org(self) -> str: ...
    @property
    def scope(self) -> Scope: ...


S = TypeVar("S", bound=Scoped)


def scope_key(org: str, scope: Scope) -> str:
    """Canonical text of a scope: `team=search,environment=prod`; of a whole organisation: `org=default`.

    In the order of DIMENSIONS; `,` `=` `%` inside values are percent-encoded, so no two scopes share a key.
    """
    pairs = scope or (("org", org),)
    return ",".join(f"{key}={quote(value, safe=_PLAIN)}" for key, value in pairs)


_PLAIN = "".join(chr(c) for c in range(32, 127) if chr(c) not in ",=%")


class Combinations:
    """Numbers for the combinations of DIMENSIONS seen so far."""

    def __init__(self, known: Iterable[Combo] = ()) -> None:
        self.values: list[Combo] = list(known)
        self._numbers = {combo: number for number, combo in enumerate(self.values)}

    def __len__(self) -> int:
        return len(self.values)

    def number(self, rows: pl.DataFrame) -> Ints:
        """The number of each row's combination; new ones are numbered as they come."""
        numbers, values = self._numbers, self.values
        result: list[int] = []
        for combo in rows.select(DIMENSIONS).rows():
            number = numbers.get(combo)
            if number is None:
                number = numbers[combo] = len(values)
                values.append(combo)
            result.append(number)
        return np.array(result, np.int64)


class ScopeIndex(Generic[S]):
    """Finds the scoped things a combination falls under: one hash look-up per distinct set of scope keys."""

    def __init__(self, items: Iterable[S] = ()) -> None:
        self._tables: dict[tuple[int, ...], dict[Combo, list[S]]] = {}
        for item in items:
            pairs: Mapping[str, str] = {"org": item.org, **dict(item.scope)}
            columns = tuple(i for i, name in enumerate(DIMENSIONS) if name in pairs)
            values = tuple(pairs[DIMENSIONS[i]] for i in columns)
            self._tables.setdefault(columns, {}).setdefault(values, []).append(item)

    def match(self, combo: Combo) -> list[S]:
        found: list[S] = []
        for columns, table in self._tables.items():
            found += table.get(tuple(combo[i] for i in columns), ())
        return found
