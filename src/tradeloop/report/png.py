"""A picture as PNG."""

from __future__ import annotations

from typing import Final

from tradeloop.errors import PrerequisiteMissing

FONT: Final = "Source Sans 3"
SCALE: Final = 2.0
"""Pixels a unit: sharp on a dense screen and on paper."""


def png(svg: str, style: str, ground: str) -> bytes:
    """The SVG as PNG, set in a font file of our own: a slim container has none, and every text would vanish.

    Raises:
        PrerequisiteMissing: the renderer or the font is not installed.
    """
    try:
        import fontpkg
        import resvg_py

        font = str(fontpkg.path(FONT))
    except (ImportError, LookupError) as problem:
        raise PrerequisiteMissing(
            f"a PNG needs a renderer and a font that are not installed: {problem}",
            hint='pip install "tradeloop[report]"',
        ) from problem
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            background=ground,
            zoom=SCALE,
            style_sheet=style,
            font_files=[font],
            font_family=FONT,
            sans_serif_family=FONT,
            skip_system_fonts=True,
        )
    )
