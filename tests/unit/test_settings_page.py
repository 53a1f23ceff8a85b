"""The settings page names every setting, with its default."""

from __future__ import annotations

import re
from pathlib import Path

from tradeloop.airflow import get_provider_info
from tradeloop.settings import PREFIX, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


def test_every_setting_is_on_the_page_and_nothing_else() -> None:
    listed = re.findall(rf"^\| `{PREFIX}(\w+)`", PAGE, re.MULTILINE)
    assert listed == [name.upper() for name in Settings.model_fields]


def test_every_option_of_airflow_is_on_the_page() -> None:
    listed = re.findall(r"^\| `([a-z_]+)`", PAGE, re.MULTILINE)
    assert listed == list(get_provider_info()["config"]["tradeloop"]["options"])


def test_the_defaults_on_the_page_are_the_defaults() -> None:
    given = dict(re.findall(rf"^\| `{PREFIX}(\w+)` \| `([^`]+)`", PAGE, re.MULTILINE))
    for name, text in given.items():
        default = Settings.model_fields[name.lower()].default
        assert text.lower() == (f"{default:g}" if isinstance(default, float) else str(default).lower())
