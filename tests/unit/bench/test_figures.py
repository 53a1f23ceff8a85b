"""The benchmark's statistics on samples whose answer is known."""

from __future__ import annotations

import random

from tradeloop.bench.figures import medians_differ, percentile, spread


def test_percentile_is_a_value_that_was_seen() -> None:
    values = [float(number) for number in range(1, 101)]

    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0


def test_spread_names_its_unit() -> None:
    assert spread([3.0, 1.0, 2.0], "ms") == {"n": 3, "p50_ms": 2.0, "p99_ms": 3.0, "max_ms": 3.0}


def test_equal_samples_do_not_differ() -> None:
    dice = random.Random(7)
    less = [dice.gauss(10, 1) for _ in range(200)]
    more = [dice.gauss(10, 1) for _ in range(200)]

    _, low, high = medians_differ(less, more)

    assert low <= 0 <= high


def test_shift_of_every_pair_is_found_under_a_load_that_both_share() -> None:
    dice = random.Random(7)
    less = [dice.uniform(10, 50) for _ in range(200)]
    more = [value + 1 for value in less]

    difference, low, high = medians_differ(less, more)

    assert difference == 1.0
    assert 0 < low <= 1.0 <= high
