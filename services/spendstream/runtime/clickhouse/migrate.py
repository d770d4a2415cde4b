"""Applying `infra/clickhouse/NNNN_*.sql` in order, each file once."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spendstream.runtime.clickhouse.client import DATABASE, connect
from spendstream.runtime.settings import Settings

LEDGER = f"""
create table if not exists {DATABASE}.schema_migrations (
  number UInt32, name String, digest String, applied_at DateTime64(3) default now64(3)
) engine = ReplacingMergeTree(applied_at) order by number
"""


CREATES = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:table|view)\s+(?:if\s+not\s+exists\s+)?\{database\}\.(\w+)", re.IGNORECASE
)


@dataclass(frozen=True)
class Migration:
    number: int
    path: Path

    @property
    def statements(self) -> list[str]:
        """Statements of the file: separated by a semicolon at the end of a line."""
        parts = self.path.read_text().split(";\n")
        return [text for part in parts if (text := _without_comments(part).strip())]

    @property
    def creates(self) -> set[str]:
        """Names of the tables and views it creates."""
        return {found[1] for text in self.statements if (found := CREATES.match(text))}

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))


def migrations(folder: Path) -> list[Migration]:
    """All migrations in order."""
    found = [Migration(int(path.name.split("_", 1)[0]), path) for path in folder.glob("[0-9]*_*.sql")]
    return sorted(found, key=lambda migration: migration.number)


def migrate(settings: Settings, folder: Path) -> list[str]:
    """Apply what is missing; returns the names applied. `ValueError` when an applied file was edited afterwards."""
    client = connect(settings, database="default")
    client.command(f"create database if not exists {DATABASE}")
    client.command(LEDGER)
    rows = client.query(f"select number, digest from {DATABASE}.schema_migrations final").result_rows
    applied: dict[int, Any] = dict(rows)
    done: list[str] = []
    for migration in migrations(folder):
        if migration.number in applied:
            if applied[migration.number] != migration.digest:
                raise ValueError(f"{migration.path.name} was changed after it had been applied: add a new file instead")
            continue
        for statement in migration.statements:
            client.command(statement.replace("{database}", DATABASE))
        client.insert(
            f"{DATABASE}.schema_migrations",
            [[migration.number, migration.path.name, migration.digest]],
            column_names=["number", "name", "digest"],
        )
        done.append(migration.path.name)
    return done
