"""What the first check of a worker would otherwise wait for."""

from __future__ import annotations


def warm() -> None:
    """Import the library that reads tables: half a second. `arch`, four seconds, waits for a limit that needs it."""
    import polars

    polars.DataFrame({"symbol": ["A"]}).with_row_index()
