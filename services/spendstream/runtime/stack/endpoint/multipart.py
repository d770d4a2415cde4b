"""multipart/form-data requests: a query and parameters too long for a URL, and external tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import BodyPartReader, web

from spendstream.runtime.stack.endpoint.bodies import Spool
from spendstream.runtime.stack.endpoint.engine import Connection, quote
from spendstream.runtime.stack.endpoint.errors import BAD_ARGUMENTS, ClickHouseError
from spendstream.runtime.stack.endpoint.request import Ask


@dataclass(slots=True)
class Form:
    """The request as the form completes it, and the external tables it brings."""

    ask: Ask
    files: dict[str, Path | None] = field(default_factory=dict)
    described: dict[str, str] = field(default_factory=dict)

    def create_tables(self, connection: Connection) -> None:
        """Make each file a temporary table of the connection. Blocking."""
        for name, path in self.files.items():
            structure = self.described.get(f"{name}_structure") or self._from_types(name)
            fmt = self.described.get(f"{name}_format", "TabSeparated")
            if not name.isidentifier() or not fmt.isalnum():
                raise ClickHouseError(BAD_ARGUMENTS, f"Bad external table {name!r}", "BAD_ARGUMENTS")
            connection.query(f"CREATE OR REPLACE TEMPORARY TABLE {name} ({structure})")
            if path:
                connection.query(f"INSERT INTO {name} FROM INFILE {quote(str(path))} FORMAT {fmt}")

    def done(self) -> None:
        """Remove the files."""
        for path in self.files.values():
            if path:
                path.unlink(missing_ok=True)

    def _from_types(self, name: str) -> str:
        types = self.described.get(f"{name}_types", "")
        if not types:
            raise ClickHouseError(
                BAD_ARGUMENTS,
                f"Neither structure nor types have not been provided for external table {name}. "
                f"Use fields {name}_structure or {name}_types to do so.",
                "BAD_ARGUMENTS",
            )
        return ", ".join(f"_{at} {kind}" for at, kind in enumerate(types.split(","), 1))


async def read_form(http: web.Request, ask: Ask, spool: Spool) -> Form:
    """Read every part; files go to the spool."""
    form = Form(ask, described=_descriptions(ask.settings))
    values: dict[str, str] = {}
    try:
        async for part in await http.multipart():
            if not isinstance(part, BodyPartReader) or not part.name:
                raise ClickHouseError(BAD_ARGUMENTS, "A form part without a name", "BAD_ARGUMENTS")
            if part.filename is not None:
                form.files[part.name] = await spool.keep(b"", spool.limited(_pieces(part)))
            else:
                chunks = [piece async for piece in spool.limited(_pieces(part))]
                values[part.name] = b"".join(chunks).decode()
    except ClickHouseError:
        form.done()
        raise
    except ValueError as error:
        form.done()
        raise ClickHouseError(BAD_ARGUMENTS, f"Cannot read the form: {error}", "BAD_ARGUMENTS") from None
    form.described |= {name: text for name, text in values.items() if name != "query"}
    known = {f"{name}_{what}" for name in form.files for what in ("structure", "format", "types")}
    form.ask = replace(
        ask,
        query=ask.query + values.get("query", ""),
        params=dict(ask.params) | {n[6:]: v for n, v in values.items() if n.startswith("param_")},
        settings={n: v for n, v in ask.settings.items() if n not in known},
    )
    return form


def _descriptions(settings: object) -> dict[str, str]:
    assert isinstance(settings, dict)
    return {n: v for n, v in settings.items() if n.endswith(("_structure", "_format", "_types"))}


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(1 << 20):
        yield piece
