"""`tradeloop bench reconciliation`: two books of a million trades, beside a plain pandas merge of the same files.

Each side runs in a process of its own, one after the other; time is wall time from the files to named breaks, memory
the process's peak.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final  # Any: JSON between processes

import numpy as np
import polars as pl

from tradeloop.bench.figures import Figure
from tradeloop.bench.report import Leg, as_json, machine, print_table
from tradeloop.bench.stage import say
from tradeloop.errors import PartFailed

SECONDS_MAX: Final = 60
RSS_MAX_GB: Final = 4
BREAK_RATE: Final = 0.006
"""Of trades: 6 in 1,000 differ, are missing, doubled or split."""
KINDS: Final = ("RB01", "RB02", "RB03", "RB04", "RB05", "RB06", "RB08", "RB09", "RB10", "RB11", "RB14", "RB15", "RB17")
NAMES: Final = (
    "exec_id", "account", "counterparty", "isin", "side", "quantity", "price", "currency", "trade_date", "settle_date",
    "fees", "net",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much is compared."""

    trades: int
    seed: int


def run(size: Size, *, json_alone: bool) -> Leg:
    """Measure; print a table and, as the last line, JSON."""
    state, begun = machine(), time.monotonic()
    with TemporaryDirectory(prefix="tradeloop-reconciliation-") as folder:
        leg = measured(size, Path(folder))
    if not json_alone:
        print_table([leg])
    took_s = round(time.monotonic() - begun)
    more = {"seed": size.seed, "trades": size.trades}
    print(as_json("reconciliation", [leg], **more, machine=state, took_s=took_s), flush=True)
    return leg


def measured(size: Size, folder: Path) -> Leg:
    """Draw both books, compare them in two ways, hold the answers against the truth."""
    say(f"reconciliation: drawing 2 x {size.trades:,} trades")
    truth = drawn(size, folder)
    leg = Leg("reconciliation", f"{size.trades:,} against about as many trades, {sum(truth.values()):,} breaks")
    found: dict[str, dict[str, Any]] = {}
    for name in ("desk", "pandas"):
        say(f"reconciliation: {name}")
        found[name] = _apart(name, folder)
        leg.add(name, _figures(found[name], truth))
    leg.notes.append("pandas: read_csv, merge on the id, compare, one mask a class; floats, no ids missing, no groups")
    desk = found["desk"]
    missed = sum(abs(desk["kinds"].get(kind, 0) - truth[kind]) for kind in {*truth, *desk["kinds"]})
    false = _beyond(desk["kinds"], truth)
    if size.trades >= 1_000_000:
        leg.aim(f"{desk['seconds']:.1f} s; target {SECONDS_MAX}", met=desk["seconds"] <= SECONDS_MAX)
        leg.aim(f"{desk['rss_gb']:.2f} GB; target {RSS_MAX_GB}", met=desk["rss_gb"] <= RSS_MAX_GB)
    leg.aim(f"{missed} breaks named otherwise; target 0", met=missed == 0)
    leg.aim(f"{false} false breaks; target 1 in 10,000 trades", met=false * 10_000 <= size.trades)
    return leg


def _figures(found: dict[str, Any], truth: dict[str, int]) -> dict[str, Figure]:
    kinds = found["kinds"]
    named = sum(min(kinds.get(kind, 0), count) for kind, count in truth.items())
    return {
        "seconds": round(found["seconds"], 2),
        "read_s": round(found["read_s"], 2),
        "rss_gb": round(found["rss_gb"], 2),
        "breaks": sum(kinds.values()),
        "named": round(named / sum(truth.values()), 5),
        "false_breaks": _beyond(kinds, truth),
    }


def _beyond(kinds: dict[str, int], truth: dict[str, int]) -> int:
    return sum(max(0, count - truth.get(kind, 0)) for kind, count in kinds.items())


def _apart(name: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tradeloop.bench.desks.reconciliation_speed", name, str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        raise PartFailed(f"the process that compares with {name} ended with {done.returncode}: {last[0]:.300}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def drawn(size: Size, folder: Path) -> dict[str, int]:
    """Write internal.csv and external.csv; returns how many breaks of each class there are."""
    rng = np.random.default_rng(np.random.SeedSequence([size.seed, *b"reconciliation/speed", size.trades]))
    count = size.trades
    quantity = np.maximum(30, np.exp(rng.uniform(np.log(30), np.log(20_000), count)).astype(np.int64))
    price = np.exp(rng.uniform(np.log(20_000), np.log(9_000_000), count)).astype(np.int64)  # ten-thousandths
    fees = quantity + rng.integers(100, 2_000, count)  # cents
    is_buy = rng.random(count) < 0.5
    base = pl.DataFrame(
        {
            "row": np.arange(count),
            "account": rng.integers(0, 400, count),
            "party": rng.integers(0, 40, count),
            "security": rng.integers(0, 5_000, count),
            "is_buy": is_buy,
            "quantity": quantity,
            "price": price,
            "fees": fees,
            "settles": np.full(count, 13),
            "more": np.zeros(count, dtype=np.int64),  # cents beside what the net amount follows from
        }
    )
    broken = rng.choice(count, size=max(len(KINDS), round(count * BREAK_RATE)), replace=False)
    kinds = {kind: broken[at :: len(KINDS)] for at, kind in enumerate(KINDS)}
    _spelled(base.filter(~pl.col("row").is_in(kinds["RB02"].tolist()))).write_csv(folder / "internal.csv")
    other = _changed(base, kinds).sample(fraction=1.0, shuffle=True, seed=size.seed)
    _spelled(other).write_csv(folder / "external.csv")
    return {kind: len(rows) for kind, rows in kinds.items()}


def _changed(base: pl.DataFrame, kinds: dict[str, Any]) -> pl.DataFrame:
    def of(*names: str) -> pl.Expr:
        return pl.col("row").is_in([int(row) for name in names for row in kinds[name]])

    # A hundredth of a cent a share is within 5 basis points from 0.20 on, and within 25 up to 250,000 shares.
    price = pl.when(of("RB04")).then(pl.col("price") + 1).when(of("RB05")).then(pl.col("price") * 2 + 40)
    other = base.filter(~of("RB01")).with_columns(
        price=price.otherwise(pl.col("price")),
        quantity=pl.when(of("RB03", "RB17")).then(pl.col("quantity") + 10).otherwise(pl.col("quantity")),
        fees=pl.when(of("RB10")).then(pl.col("fees") * 3 // 2).otherwise(pl.col("fees")),
        settles=pl.when(of("RB06", "RB17")).then(pl.lit(14, pl.Int64)).otherwise(pl.col("settles")),
        is_buy=pl.col("is_buy") ^ of("RB09"),
        party=pl.when(of("RB15")).then(pl.lit(99, pl.Int64)).otherwise(pl.col("party")),
        more=pl.when(of("RB11")).then(3).otherwise(0).cast(pl.Int64),
    )
    split = other.filter(of("RB14"))
    first = split.with_columns(quantity=pl.col("quantity") // 3, fees=pl.lit(0, pl.Int64))
    second = split.with_columns(quantity=pl.col("quantity") - pl.col("quantity") // 3)
    return pl.concat([other.filter(~of("RB14")), first, second, other.filter(of("RB08"))])


def _spelled(book: pl.DataFrame) -> pl.DataFrame:
    fee = pl.when(pl.col("is_buy")).then(1).otherwise(-1) * pl.col("fees")
    gross = (pl.col("quantity") * pl.col("price") + 50) // 100
    return book.select(
        exec_id=pl.format("X-{}", pl.col("row").cast(pl.String).str.zfill(9)),
        account=pl.format("ACC-{}", pl.col("account")),
        counterparty=pl.format("BRK-{}", pl.col("party")),
        isin=pl.format("SEC-{}", pl.col("security")),
        side=pl.when(pl.col("is_buy")).then(pl.lit("B")).otherwise(pl.lit("S")),
        quantity=pl.col("quantity").cast(pl.String),
        price=_decimal("price", 4),
        currency=pl.lit("USD"),
        trade_date=pl.lit("2026-01-12"),
        settle_date=pl.format("2026-01-{}", pl.col("settles")),
        fees=_decimal("fees", 2),
        net=(gross + fee + pl.col("more")).cast(pl.Decimal(38, 0)).pipe(lambda cents: _shifted(cents, 2)),
    )


def _decimal(name: str, places: int) -> pl.Expr:
    return _shifted(pl.col(name).cast(pl.Decimal(38, 0)), places)


def _shifted(whole: pl.Expr, places: int) -> pl.Expr:
    digits = whole.cast(pl.String).str.zfill(places + 1)
    return digits.str.head(-places) + "." + digits.str.tail(places)


def _by_desk(folder: Path) -> dict[str, Any]:
    from tradeloop.desks.reconciliation.desk import desk_of
    from tradeloop.desks.reconciliation.policy import SHIPPED, load_policy

    sides = {}
    for side in ("internal", "external"):
        raw = (folder / f"{side}.csv").read_bytes()
        reference = {
            "uri": (folder / f"{side}.csv").as_uri(), "sha256": sha256(raw).hexdigest(), "size_bytes": len(raw),
        }  # fmt: skip
        del raw
        sides[side] = {"format": "csv", "reference": reference}
    accounts = [{"account": f"ACC-{number}", "count": 0, "notional": "0"} for number in range(400)]
    data = {**sides, "today": "2026-01-13", "used": accounts}
    desk = desk_of(load_policy(SHIPPED))
    begun = time.perf_counter()
    facts = desk.facts(data, folder)
    return {"seconds": time.perf_counter() - begun, "read_s": 0.0, "kinds": facts["kinds"]}


def _by_pandas(folder: Path) -> dict[str, Any]:
    """What an analyst would write: ids, sides and dates as text, figures as floats."""
    import pandas as pd

    begun = time.perf_counter()
    texts = dict.fromkeys(set(NAMES) - {"quantity", "price", "fees", "net"}, "string")
    left, right = (pd.read_csv(folder / f"{side}.csv", dtype=texts) for side in ("internal", "external"))
    read_s = time.perf_counter() - begun
    both = left.merge(right, on="exec_id", how="outer", suffixes=("_i", "_e"), indicator=True)
    paired = both[both["_merge"] == "both"]

    def more(name: str) -> Any:
        return (paired[f"{name}_e"] - paired[f"{name}_i"]).abs()

    def unlike(name: str) -> Any:
        return paired[f"{name}_i"] != paired[f"{name}_e"]

    def larger(name: str) -> Any:
        return paired[[f"{name}_i", f"{name}_e"]].max(axis=1)

    odd = {
        "quantity": more("quantity") > 0, "price": more("price") > 1e-9, "side": unlike("side"),
        "settle": unlike("settle_date"), "fees": more("fees") > 1e-9,
        "party": unlike("account") | unlike("counterparty"), "isin": unlike("isin"),
    }  # fmt: skip
    count = sum(mask.astype(int) for mask in odd.values())
    single, near = count == 1, (more("price") <= larger("price") * 5e-4)
    small = near & (more("price") * larger("quantity") <= 25)
    kinds = {
        "RB01": both["_merge"] == "left_only", "RB02": both["_merge"] == "right_only",
        "RB03": single & odd["quantity"], "RB04": single & odd["price"] & small,
        "RB05": single & odd["price"] & ~small, "RB06": single & odd["settle"], "RB09": single & odd["side"],
        "RB10": single & odd["fees"], "RB11": (count == 0) & (more("net") > 1e-6), "RB15": single & odd["party"],
        "RB17": count > 1,
    }  # fmt: skip
    counts = {name: int(mask.sum()) for name, mask in kinds.items()}
    return {"seconds": time.perf_counter() - begun, "read_s": read_s, "kinds": counts}


def main(name: str, folder: str) -> None:
    """Compare in this process; print one line of JSON."""
    answer = {"desk": _by_desk, "pandas": _by_pandas}[name](Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({**answer, "rss_gb": peak * unit / 1024**3}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
