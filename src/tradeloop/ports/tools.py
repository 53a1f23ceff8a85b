"""What tools outside the firm's own code tell a specialist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue


class Tools(Protocol):
    """Tools that an operator allowed, as graphs see them."""

    async def gather(self, desk: str, role: str, header: Mapping[str, JsonValue]) -> dict[str, str]:
        """What the tools of this specialist answer, by `server/tool`: untrusted text, to be quoted and no more.

        Arguments are made of the header's typed fields alone. A tool that fails, is slow or is no longer the one that
        was allowed is left out; nothing is raised for it.
        """
        ...
