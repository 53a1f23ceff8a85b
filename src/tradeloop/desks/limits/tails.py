"""Historical VaR, expected shortfall, and the backtest by Basel's zones: plain numpy over scenarios of P&L.

VaR is the linear quantile of the scenarios (Hyndman and Fan 1996, type 7: numpy's own); ES the mean of those at or
below the quantile of its level. Both are losses, at least zero.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np

from tradeloop.desks.limits.history import Floats
from tradeloop.desks.limits.policy import Zone

VAR_LEVEL: Final = Fraction(99, 100)
ES_LEVEL: Final = Fraction(975, 1000)
BACKTEST_DAYS: Final = 250
"""What Basel's zones are defined for (MAR32)."""


def historical_var(scenarios: Floats, level: Fraction = VAR_LEVEL) -> float:
    """The loss that is not exceeded in `level` of the scenarios.

    Example:
        >>> historical_var(np.array([-4.0, -1.0, 0.0, 2.0, 5.0]), Fraction(3, 4))
        1.0
    """
    ordered = np.sort(scenarios)
    low, share = _place(len(ordered), level)
    high = min(low + 1, len(ordered) - 1)
    found = ordered[low] + (ordered[high] - ordered[low]) * float(share)
    return max(0.0, -float(found))


def expected_shortfall(scenarios: Floats, level: Fraction = ES_LEVEL) -> float:
    """The mean loss of the scenarios at or below the quantile of 1 - `level`."""
    ordered = np.sort(scenarios)
    low, _ = _place(len(ordered), level)
    return max(0.0, -float(np.mean(ordered[: low + 1])))


def rolling_var(scenarios: Floats, window: int, level: Fraction = VAR_LEVEL) -> Floats:
    """The VaR of each `window` scenarios in a row: of the day after each of them."""
    windows = np.lib.stride_tricks.sliding_window_view(scenarios, window)
    ordered = np.sort(windows, axis=1)
    low, share = _place(window, level)
    high = min(low + 1, window - 1)
    found = ordered[:, low] + (ordered[:, high] - ordered[:, low]) * float(share)
    return np.maximum(0.0, -found)


def exceptions(pnl: Floats, var: Floats) -> int:
    """On how many days the loss was larger than the VaR told for it."""
    return int(np.count_nonzero(pnl < -var))


def zone_of(count: int, green_max: int = 4, yellow_max: int = 9) -> Zone:
    """Basel's zone of so many exceptions in 250 days.

    Example:
        >>> [zone_of(count).value for count in (4, 5, 9, 10)]
        ['GREEN', 'YELLOW', 'YELLOW', 'RED']
    """
    if count <= green_max:
        return Zone.GREEN
    return Zone.YELLOW if count <= yellow_max else Zone.RED


def _place(count: int, level: Fraction) -> tuple[int, Fraction]:
    # Exact: of 401 scenarios the 0.025 quantile is the eleventh itself, and not a hair below it.
    place = (count - 1) * (1 - level)
    low = place.numerator // place.denominator
    return low, place - low
