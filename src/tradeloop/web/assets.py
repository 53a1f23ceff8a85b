"""The page's own files: few, small, vendored ones listed in `static/VENDOR.txt`; named by their content, so kept."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}


@cache
def names() -> frozenset[str]:
    """Every file that is served."""
    return frozenset(one.name for one in files("tradeloop.web").joinpath("static").iterdir() if _suffix(one.name))


@cache
def content(name: str) -> bytes:
    """A file's bytes; `name` is one of `names`."""
    return files("tradeloop.web").joinpath("static", name).read_bytes()


@cache
def address(name: str) -> str:
    """Where a page finds the file; another content has another address."""
    return f"/static/{name}?v={sha256(content(name)).hexdigest()[:12]}"


def media_type(name: str) -> str:
    """The file's content type."""
    return TYPES[_suffix(name)]


def _suffix(name: str) -> str:
    found = name[name.rfind(".") :] if "." in name else ""
    return found if found in TYPES else ""
