"""`spendstream prices diff`."""

import asyncio
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import USAGE, CommandError, errors
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption

if TYPE_CHECKING:
    from spendstream.domain.prices.diff import PriceDifference

prices_app = typer.Typer(help="What a token costs, and what it costs elsewhere.", no_args_is_help=True)
MILLION = 1_000_000
COLUMNS = ("model", "above tokens", "class", "own USD/M", "published USD/M", "change", "state")


@prices_app.command("diff")
def diff(
    files: Annotated[
        list[Path] | None, typer.Option("-f", "--file", help="Compare these files, not yet applied.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="Prices in force then (RFC 3339); default: now.")] = None,
    org: Annotated[str, typer.Option(help="Organisation the documents belong to.")] = "default",
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="Published prices that had to be rounded to a pico-dollar a token.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare your Price documents with the published list prices, class by class, after discount, margin and exchange.

    A class without a price of its own is compared at the price it falls back to (cache_read → input, …).

    Example: spendstream prices diff -f examples/prices.yaml --all
    """
    from spendstream.domain.prices import Catalogue  # noqa: PLC0415
    from spendstream.domain.prices.diff import compare  # noqa: PLC0415
    from spendstream.rating import exchange_rates, price_revisions  # noqa: PLC0415

    documents = _from_files(files, org) if files else asyncio.run(_in_force(org))
    catalogue = Catalogue()
    found = compare(price_revisions(documents), catalogue, _moment(at), exchange_rates(documents))
    shown = [each for each in found if everything or each.state != "same"]
    rounded = catalogue.conflicts() if conflicts else []
    if as_json:
        print_json({"differences": [_json(each) for each in shown], "conflicts": [_conflict(each) for each in rounded]})
        return
    rows = [
        (f"{each.provider}/{each.model}", each.above_input_tokens or "", each.price_class, _usd(each.own, each),
         _usd(each.listed, each), "" if each.change is None else f"{float(each.change):+.1%}", each.state)
        for each in shown
    ]  # fmt: skip
    print_table("", COLUMNS, rows)
    same = sum(each.state == "same" for each in found)
    errors.print(
        f"{len(found)} prices compared, {same} are as published; a request's price is per request", style="dim"
    )
    if conflicts:
        print_table(
            "published prices finer than a pico-dollar a unit", ("price", "class", "USD", "taken as pico-dollars"),
            [(each.price_id, each.key, each.usd, each.pico_per_unit) for each in rounded],
        )  # fmt: skip


def _usd(pico: Fraction | None, difference: "PriceDifference") -> Decimal | None:
    """USD a million tokens (a request's fee: USD a request), to twelve decimals."""
    if pico is None:
        return None
    units = 1 if difference.price_class == "request" else MILLION
    return Decimal(round(pico * units)).scaleb(-12).normalize() + 0


def _json(each: "PriceDifference") -> dict[str, Any]:
    unit = "request" if each.price_class == "request" else "million tokens"
    return {
        "provider": each.provider, "model": each.model, "above_input_tokens": each.above_input_tokens,
        "class": each.price_class, "unit": unit,
        "own_usd": _usd(each.own, each), "published_usd": _usd(each.listed, each),
        "state": each.state, "own_price_id": each.own_price_id, "published_price_id": each.listed_price_id,
    }  # fmt: skip


def _conflict(each: Any) -> dict[str, Any]:
    return {"price_id": each.price_id, "key": each.key, "usd": each.usd, "pico_usd_per_unit": each.pico_per_unit}


def _moment(text: str | None) -> int:
    from datetime import UTC, datetime  # noqa: PLC0415

    from spendstream.operations.since import moment  # noqa: PLC0415

    now = datetime.now(UTC)
    try:
        return round((moment(text, now) if text else now).timestamp() * 1_000_000)
    except ValueError as error:
        raise CommandError(f"--at: {error}", USAGE) from error


async def _in_force(org: str) -> list[Any]:
    from spendstream.control.publish import load_control  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    log = await load_control(Settings.load())
    return [document for document in log.documents() if document.org == org]


def _from_files(files: list[Path], org: str) -> list[Any]:
    from spendstream.cli.control import read_documents  # noqa: PLC0415
    from spendstream.control.publish import as_documents  # noqa: PLC0415

    return [document for document in as_documents(read_documents(files)) if document.org == org]
