"""The part of `spendstream reprice` that is about GPUs: what is shown of it."""

from typing import TYPE_CHECKING, Any

from spendstream.cli.output import print_table, turned, where

if TYPE_CHECKING:
    from spendstream.operations.reprice_gpu import GpuRepriced

COLUMNS = ("GPU", "team", "kind", "status", "price", "GPU hours", "before USD", "after USD", "delta USD")


def gpu_report(done: "GpuRepriced") -> dict[str, Any]:
    """The section for programs."""
    groups = [
        {
            "org": row["org"], "gpu_model": row["gpu_model"], "team": row["team"], "kind": row["kind"],
            "status_before": row["status"], "status_after": row["status_after"],
            "price_id_before": row["price_id"], "price_id_after": row["price_id_after"],
            "gpu_hours": row["gpu_hours"], **_usd(row["before"], row["after"]),
        }
        for row in done.diff.summary.groups()
    ]  # fmt: skip
    return {
        "run_id": done.run_id,
        "examined": done.diff.examined,
        "changed": done.diff.summary.readings,
        "published": done.published,
        **_usd(*done.diff.summary.total),
        "groups": groups,
    }


def print_gpus(done: "GpuRepriced", apply: bool) -> None:
    """The section for people."""
    rows = [
        (
            where(row["org"], row["gpu_model"]), row["team"], row["kind"],
            turned(row["status"], row["status_after"]), turned(row["price_id"], row["price_id_after"]),
            row["gpu_hours"], *_usd(row["before"], row["after"]).values(),
        )
        for row in done.diff.summary.groups()
    ]  # fmt: skip
    if not rows:
        print_table("", ["GPU readings", ""], [(done.diff.examined, "nothing changes")])
        return
    total = ("all", "", "", "", "", sum(row[5] for row in rows), *_usd(*done.diff.summary.total).values())
    print_table("GPUs corrected" if apply else "GPUs would change", COLUMNS, [*rows, total])


def _usd(before: int, after: int) -> dict[str, Any]:
    from spendstream.domain.money import usd_from_pico  # noqa: PLC0415

    return {
        "before_usd": usd_from_pico(before),
        "after_usd": usd_from_pico(after),
        "delta_usd": usd_from_pico(after - before),
    }
