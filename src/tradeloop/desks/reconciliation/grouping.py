"""One trade here and several there: duplicates and allocations, among what no key pairs one to one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Literal  # Any: cells of a row

import polars as pl

from tradeloop.desks.reconciliation.matching import Group
from tradeloop.desks.reconciliation.policy import Search

_STEPS: Final = 50_000
"""Of one subset search. What needs more is left to a person."""
_ALL_STEPS: Final = 3_000_000
"""Of a batch, about three seconds: a file made to be searched for hours is left to a person."""
_ECONOMICS: Final = ("isin", "side", "quantity", "price", "trade_date")
_COLUMNS: Final = (*_ECONOMICS, "account", "exec_id", "currency", "counterparty")

Cells = dict[str, Any]
_CHANCE: Final = 0.001
"""Sums that fit by chance, at most, for each that is taken: subsets over the sums that are possible in whole lots."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows that belong together."""

    kind: Literal["duplicate", "allocation"]
    internal: tuple[int, ...]
    external: tuple[int, ...]
    is_only: bool = True
    """False: other rows would fit as well, or these may fit by chance."""


@dataclass(slots=True)
class Sifted:
    """What became of rows."""

    pairs: list[tuple[int, int]] = field(default_factory=list)
    grouped: list[Grouped] = field(default_factory=list)
    left_internal: list[int] = field(default_factory=list)
    left_external: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Budget:
    steps: int = _ALL_STEPS


class Rows:
    """Rows of a book by their place, as cells."""

    def __init__(self, book: pl.DataFrame, wanted: Sequence[int]) -> None:
        told = book[list(wanted)].select(_COLUMNS).iter_rows(named=True) if wanted else iter(())
        self._cells = dict(zip(wanted, told, strict=True))

    def __getitem__(self, row: int) -> Cells:
        return self._cells[row]

    def economics(self, row: int) -> tuple[Any, ...]:
        """What makes the trade."""
        cells = self._cells[row]
        return tuple(cells[name] for name in _ECONOMICS)


def within_executions(groups: Sequence[Group], ours: Rows, theirs: Rows) -> Sifted:
    """Rows that share an execution id: equal ones pair, further equal ones are duplicates, sums are allocations."""
    done = Sifted()
    for group in groups:
        pairs, rest_i, rest_e = _equal(group, ours, theirs)
        done.pairs += pairs
        if not rest_i and not rest_e:
            continue
        if pairs and not (rest_i and rest_e):
            known_i = {ours.economics(i): (i, e) for i, e in pairs}
            again = [(row, known_i.get(ours.economics(row))) for row in rest_i]
            again_there = [(row, known_i.get(theirs.economics(row))) for row in rest_e]
            for row, known in again:
                _keep(done, known, row, is_ours=True)
            for row, known in again_there:
                _keep(done, known, row, is_ours=False)
        elif len(rest_i) == 1 == len(rest_e):
            done.pairs.append((rest_i[0], rest_e[0]))
        elif _adds_up([ours[row] for row in rest_i], [theirs[row] for row in rest_e]):
            done.grouped.append(Grouped("allocation", tuple(rest_i), tuple(rest_e)))
        elif len(rest_i) == 1 and _all_equal(theirs, rest_e):
            # Booked twice there, and it differs as well: the pair tells how, the second one is its duplicate.
            done.pairs.append((rest_i[0], rest_e[0]))
            done.grouped += [Grouped("duplicate", (rest_i[0],), (rest_e[0], row)) for row in rest_e[1:]]
        else:
            done.left_internal += rest_i
            done.left_external += rest_e
    return done


def among_left(left_i: Sequence[int], left_e: Sequence[int], ours: Rows, theirs: Rows, search: Search) -> Sifted:
    """Allocations and aggregations among rows without a partner: exact sums of quantity, one side, one day."""
    done = Sifted()
    blocks: defaultdict[tuple[Any, ...], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, (rows, cells) in enumerate(((left_i, ours), (left_e, theirs))):
        for row in rows:
            blocks[_block(cells[row])][side].append(row)
    budget = _Budget()
    taken_i: set[int] = set()
    taken_e: set[int] = set()
    for mine, others in blocks.values():
        for grouped in _sums((mine, others), (ours, theirs), search, budget):
            if not (taken_i & set(grouped.internal) or taken_e & set(grouped.external)):
                done.grouped.append(grouped)
                taken_i |= set(grouped.internal)
                taken_e |= set(grouped.external)
    done.left_internal = [row for row in left_i if row not in taken_i]
    done.left_external = [row for row in left_e if row not in taken_e]
    return done


def _keep(done: Sifted, known: tuple[int, int] | None, row: int, *, is_ours: bool) -> None:
    if known is None:
        (done.left_internal if is_ours else done.left_external).append(row)
    elif is_ours:
        done.grouped.append(Grouped("duplicate", (known[0], row), (known[1],)))
    else:
        done.grouped.append(Grouped("duplicate", (known[0],), (known[1], row)))


def _equal(group: Group, ours: Rows, theirs: Rows) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    waiting: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row in group.external:
        waiting[theirs.economics(row)].append(row)
    pairs, rest = [], []
    for row in group.internal:
        same = waiting[ours.economics(row)]
        if same:
            pairs.append((row, same.pop(0)))
        else:
            rest.append(row)
    return pairs, rest, sorted(row for rows in waiting.values() for row in rows)


def _all_equal(cells: Rows, rows: Sequence[int]) -> bool:
    return len({cells.economics(row) for row in rows}) == 1


def _adds_up(ours: Sequence[Cells], theirs: Sequence[Cells]) -> bool:
    if {_block(cells) for cells in ours} != {_block(cells) for cells in theirs} or len({*map(_block, ours)}) != 1:
        return False
    return bool(sum(cells["quantity"] for cells in ours) == sum(cells["quantity"] for cells in theirs))


def _block(cells: Cells) -> tuple[str, str, date, str | None]:
    return cells["isin"], cells["side"], cells["trade_date"], cells["currency"]


def _sums(
    rows: tuple[Sequence[int], Sequence[int]], books: tuple[Rows, Rows], search: Search, budget: _Budget
) -> Iterator[Grouped]:
    (mine, others), (ours, theirs) = rows, books
    if not mine or not others or max(len(mine), len(others)) > search.group_candidates:
        return
    for one in mine:
        for found, is_only in _subset(ours[one], others, theirs, search, budget):
            is_whole = len(mine) == 1 and len(found) == len(others)
            yield Grouped("allocation", (one,), found, is_whole or is_only)
    for one in others:
        for found, is_only in _subset(theirs[one], mine, ours, search, budget):
            is_whole = len(others) == 1 and len(found) == len(mine)
            yield Grouped("allocation", found, (one,), is_whole or is_only)
    if len(mine) > 1 < len(others) and max(len(mine), len(others)) <= search.group_members:
        cells_i, cells_e = [ours[row] for row in mine], [theirs[row] for row in others]
        if _adds_up(cells_i, cells_e) and _near([*cells_i, *cells_e]) and not _share_quantity(cells_i, cells_e):
            yield Grouped("allocation", tuple(mine), tuple(others))


def _share_quantity(one: Sequence[Cells], other: Sequence[Cells]) -> bool:
    # Equal quantities pair one to one and differ in something else: that is for the assignment to name.
    return bool(Counter(cells["quantity"] for cells in one) & Counter(cells["quantity"] for cells in other))


def _subset(
    whole: Cells, candidates: Sequence[int], cells: Rows, search: Search, budget: _Budget
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """The subset of at least two rows whose quantities add up, and whether that is no accident: it is the only one (up
    to equal rows), and among so many subsets a sum that fits by chance is not to be expected."""
    near = [row for row in candidates if _near([whole, cells[row]]) and cells[row]["quantity"] < whole["quantity"]]
    near.sort(key=lambda row: (-cells[row]["quantity"], row))
    sizes = [cells[row]["quantity"] for row in near]
    found = _searched(sizes, whole["quantity"], search.group_members, budget)
    if found:
        subsets = sum(math.comb(len(sizes), count) for count in range(2, search.group_members + 1))
        sums = whole["quantity"] // math.gcd(whole["quantity"], *sizes)
        yield tuple(sorted(near[at] for at in found[0])), len(found) == 1 and subsets <= _CHANCE * sums


def _searched(sizes: Sequence[int], wanted: int, members: int, budget: _Budget) -> list[tuple[int, ...]]:
    """Up to two index sets of different sizes that add up to `wanted`; none when the search takes too long."""
    suffix = [0] * (len(sizes) + 1)
    for at in range(len(sizes) - 1, -1, -1):
        suffix[at] = suffix[at + 1] + sizes[at]
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    stack: list[tuple[int, int, tuple[int, ...]]] = [(0, wanted, ())]
    steps = 0
    while stack and len(found) < 2:
        at, missing, chosen = stack.pop()
        steps += 1
        budget.steps -= 1
        if steps > _STEPS or budget.steps < 0:
            return []
        if missing == 0:
            if len(chosen) > 1:
                found.setdefault(tuple(sizes[one] for one in chosen), chosen)
            continue
        if at == len(sizes) or len(chosen) == members or suffix[at] < missing:
            continue
        stack.append((at + 1, missing, chosen))
        if sizes[at] <= missing:
            stack.append((at + 1, missing - sizes[at], (*chosen, at)))
    return list(found.values())


def _near(rows: Sequence[Cells]) -> bool:
    """Whether prices lie within a hundredth of each other: fills of one order, at the widest."""
    low, high = min(row["price"] for row in rows), max(row["price"] for row in rows)
    return bool((high - low) * 100 <= high)
