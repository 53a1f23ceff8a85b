"""One name a security: what the firm maps, and what check digits allow to derive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import polars as pl
from stdnum import cusip, isin
from stdnum.gb import sedol

How = Literal["same", "told", "derived"]
_SEDOL_LENGTH: Final = 7


def common(identifier: str, told: Mapping[str, str]) -> tuple[str, How]:
    """The ISIN of an identifier, and how it was found; itself where there is none.

    `told`: the firm's own table. A CUSIP becomes a US ISIN and a SEDOL a GB one when their check digits are right.
    """
    if identifier in told:
        return told[identifier], "told"
    if isin.is_valid(identifier):
        return identifier, "same"
    if cusip.is_valid(identifier):
        return str(cusip.to_isin(identifier)), "derived"
    if len(identifier) == _SEDOL_LENGTH and sedol.is_valid(identifier):
        return str(sedol.to_isin(identifier)), "derived"
    return identifier, "same"


def with_isin(book: pl.DataFrame, told: Mapping[str, str]) -> pl.DataFrame:
    """The book with `isin` (one name a security) and `derived` (by check digits alone)."""
    names = book["security"].unique().to_list()
    found = {name: common(name, told) for name in names}
    table = pl.DataFrame(
        {
            "security": names,
            "isin": [found[name][0] for name in names],
            "derived": [found[name][1] == "derived" for name in names],
        },
        schema={"security": pl.String, "isin": pl.String, "derived": pl.Boolean},
    )
    return book.join(table, on="security", how="left", maintain_order="left")
