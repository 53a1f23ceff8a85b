"""Filtered historical simulation: scenarios scaled to the volatility of tomorrow.

Barone-Adesi, Giannopoulos and Vosper (1999): each return is divided by the volatility that GARCH(1,1) gives its
day, and multiplied by that of the day to come.
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np

from tradeloop.desks.limits.history import Floats
from tradeloop.errors import PrerequisiteMissing

FEWEST: Final = 100
"""Fewer returns do not carry a GARCH fit."""


def filtered_scenarios(scenarios: Floats) -> Floats | None:
    """The scenarios at tomorrow's volatility; None: too few, without any variance, or no fit was found.

    Raises:
        PrerequisiteMissing: `arch` is not installed.
    """
    spread = float(np.std(scenarios)) if len(scenarios) >= FEWEST else 0.0
    if not np.isfinite(spread) or spread <= 0:
        return None
    try:
        from arch.univariate import GARCH, ZeroMean
    except ImportError as problem:
        raise PrerequisiteMissing(
            "filtered VaR needs the package arch, which is not installed",
            hint='pip install "tradeloop[desks]", or bound VAR_99 in place of VAR_99_FILTERED',
        ) from problem
    scaled = scenarios / spread  # GARCH's optimiser wants figures near one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit without convergence is told by its flag
        fit = ZeroMean(scaled, volatility=GARCH(1, 0, 1), rescale=False).fit(disp="off", show_warning=False)
        if fit.convergence_flag != 0:
            return None
        tomorrow = float(np.sqrt(fit.forecast(horizon=1, reindex=False).variance.to_numpy()[-1, 0]))
    volatility = np.asarray(fit.conditional_volatility, dtype=np.float64)
    found = scaled / volatility * tomorrow * spread
    return found if bool(np.all(np.isfinite(found))) else None
