"""Which models are asked, in which order, and what they cost: read from the settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from tradeloop.errors import SettingInvalid
from tradeloop.ports import Limits, Used
from tradeloop.settings import Settings

Provider = Literal["ollama", "openai"]
PROVIDERS: Final[dict[str, Provider]] = {"ollama": "ollama", "openai": "openai"}
OWN_SERVER: Final[dict[Provider, str]] = {"ollama": "http://127.0.0.1:11434", "openai": "https://api.openai.com/v1"}
"""Where a model is asked when neither it nor TRADELOOP_MODEL_URL names a server."""
ENTRY: Final = re.compile(r"(?P<provider>[a-z]+):(?P<name>[^@\s]{1,200})(@(?P<url>https?://[^/\s@]+(/\S*)?))?")
PARAMS: Final = {"temperature": float, "top_p": float, "top_k": int, "seed": int, "num_thread": int}
MILLION: Final = 1_000_000
NO_COST: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens."""

    tokens_in: Decimal
    tokens_out: Decimal

    def of(self, tokens_in: int, tokens_out: int) -> Used:
        """What these tokens come to."""
        return Used(tokens_in + tokens_out, (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / MILLION)


@dataclass(frozen=True, slots=True)
class Link:
    """One model of the chain."""

    provider: Provider
    name: str
    url: str
    key: str = field(default="", repr=False)
    price: Price = Price(NO_COST, NO_COST)

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


def chain_of(settings: Settings) -> list[Link]:
    """The models of TRADELOOP_MODEL, in order.

    Raises:
        SettingInvalid: an entry, a price or a key file does not fit; or cost is limited and a model has no price.
    """
    prices = _prices(settings.model_prices)
    links = [_link(settings, entry, prices) for entry in settings.model]
    limits = limits_of(settings)
    if limits.run_cost or limits.desk_cost or limits.day_cost:
        for link in links:
            if link.provider != "ollama" and str(link) not in prices:
                raise SettingInvalid(
                    f"cost is limited, and what {link} costs is not known.",
                    hint=f"TRADELOOP_MODEL_PRICES={link}=IN/OUT, of a million tokens; 0/0 for one of your own",
                )
    return links


def params_of(settings: Settings) -> dict[str, float | int]:
    """The sampling of TRADELOOP_MODEL_PARAMS.

    Raises:
        SettingInvalid: an unknown name, or no number.
    """
    found: dict[str, float | int] = {}
    for part in _parts(settings.model_params):
        name, _, text = (word.strip() for word in part.partition("="))
        try:
            found[name] = PARAMS[name](text)
        except (KeyError, ValueError) as problem:
            raise SettingInvalid(
                f"TRADELOOP_MODEL_PARAMS has {part!r}; NAME=NUMBER is expected, of {', '.join(PARAMS)}."
            ) from problem
        if not -1e9 < found[name] < 1e10:  # also NaN and infinity
            raise SettingInvalid(f"TRADELOOP_MODEL_PARAMS has {part!r}; that is out of every range.")
    return found


def limits_of(settings: Settings) -> Limits:
    """The budgets of the settings."""
    return Limits.model_validate({name: getattr(settings, f"model_{name}") for name in Limits.model_fields})


def _link(settings: Settings, entry: str, prices: dict[str, Price]) -> Link:
    found = ENTRY.fullmatch(entry)
    provider = PROVIDERS.get(found["provider"]) if found else None
    if found is None or provider is None:
        raise SettingInvalid(
            f"TRADELOOP_MODEL has {entry!r}; ollama:NAME or openai:NAME is expected, and @URL when it has a server of "
            "its own."
        )
    own_url = found["url"] or ""
    url = (own_url or settings.model_url or OWN_SERVER[provider]).rstrip("/")
    key = "" if own_url or provider == "ollama" else _key(settings)
    if url == OWN_SERVER["openai"] and not key:
        raise SettingInvalid(
            f"{entry} needs a key, or a server.",
            hint="TRADELOOP_MODEL_KEY_FILE names a file with the key; TRADELOOP_MODEL_URL a server of your own",
        )
    link = Link(provider, found["name"], url, key)
    return Link(provider, found["name"], url, key, prices.get(str(link), link.price))


def _key(settings: Settings) -> str:
    if settings.model_key_file is None:
        return ""
    try:
        key = settings.model_key_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not ASCII"
        raise SettingInvalid(f"TRADELOOP_MODEL_KEY_FILE is {settings.model_key_file}: {reason}.") from problem
    if not key or len(key.split()) != 1 or not key.isprintable():
        raise SettingInvalid(f"TRADELOOP_MODEL_KEY_FILE is {settings.model_key_file}: one word is expected in it.")
    return key


def _prices(text: str) -> dict[str, Price]:
    found = {}
    for part in _parts(text):
        name, _, price = part.rpartition("=")
        cost_in, _, cost_out = price.partition("/")
        try:
            one = Price(Decimal(cost_in), Decimal(cost_out))
        except InvalidOperation as problem:
            raise SettingInvalid(_price_words(part)) from problem
        if not name or not (_is_price(one.tokens_in) and _is_price(one.tokens_out)):
            raise SettingInvalid(_price_words(part))
        found[name.strip()] = one
    return found


def _is_price(value: Decimal) -> bool:
    return value.is_finite() and 0 <= value < MILLION


def _price_words(part: str) -> str:
    return f"TRADELOOP_MODEL_PRICES has {part!r}; openai:NAME=IN/OUT is expected, of a million tokens."


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
