"""What a person chose at `/me`: kept in a cookie of the browser, because it says nothing about the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo, available_timezones

COOKIE: Final = "tradeloop_prefs"
ZONE_COOKIE: Final = "tradeloop_zone"
"""Set by the page's script to the browser's own zone; used until a person chooses one."""
Theme = Literal["auto", "light", "dark"]
Density = Literal["compact", "comfortable"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """How pages are shown."""

    zone: str = "UTC"
    theme: Theme = "auto"
    density: Density = "compact"
    keys: bool = True
    """Whether single keys act (WCAG 2.1.4)."""

    @classmethod
    def read(cls, cookies: Mapping[str, str]) -> Self:
        """Those of the cookies; a value that does not fit is left out."""
        found = dict(parse_qsl(cookies.get(COOKIE, "")[:500]))
        browsers = cookies.get(ZONE_COOKIE, "")[:100].replace("%2F", "/")
        return cls.chosen({"zone": browsers} | found)

    @classmethod
    def chosen(cls, found: Mapping[str, str]) -> Self:
        """Those of a form; a value that does not fit is left out."""
        zone = found.get("zone", "")
        return cls(
            zone=zone if zone in ZONES else "UTC",
            theme=THEMES.get(found.get("theme", ""), "auto"),
            density="comfortable" if found.get("density") == "comfortable" else "compact",
            keys=found.get("keys") != "off",
        )

    @property
    def cookie(self) -> str:
        """The cookie's value."""
        keys = "on" if self.keys else "off"
        return urlencode({"zone": self.zone, "theme": self.theme, "density": self.density, "keys": keys})

    @property
    def tz(self) -> ZoneInfo:
        """The chosen zone."""
        return ZoneInfo(self.zone)


THEMES: Final[dict[str, Theme]] = {"light": "light", "dark": "dark", "auto": "auto"}
ZONES: Final = frozenset(name for name in available_timezones() if name == "UTC" or "/" in name)
