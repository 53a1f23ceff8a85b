"""Whether a model's server answers, and has the model; asks nothing of the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final  # Any: a server's JSON

import httpx

from tradeloop.llm.chain import Link

WAIT_S: Final = 5.0
NAMES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Reach:
    """What was found of one model."""

    link: Link
    is_reachable: bool
    has_model: bool
    words: str


async def reach_of(link: Link) -> Reach:
    """Ask the server which models it has."""
    path = "/api/tags" if link.provider == "ollama" else "/models"
    headers = {"Authorization": f"Bearer {link.key}"} if link.key else {}
    try:
        async with httpx.AsyncClient(timeout=WAIT_S) as client:
            answer = await client.get(link.url + path, headers=headers)
            names = _names(answer.json() if answer.is_success else None, link)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as problem:
        return Reach(link, False, False, f"{link} at {link.url} does not answer: {_words(problem)}")
    if not answer.is_success:
        return Reach(link, True, False, f"{link} at {link.url}: the server answers {answer.status_code}")
    if link.name in names or f"{link.name}:latest" in names:
        return Reach(link, True, True, f"{link} answers at {link.url}")
    shown = ", ".join(names[:NAMES_SHOWN]) or "none"
    return Reach(link, True, False, f"{link.url} answers and has no {link.name}; it has {shown}")


def _names(document: Any, link: Link) -> list[str]:
    key, name = ("models", "name") if link.provider == "ollama" else ("data", "id")
    if not isinstance(document, dict) or not isinstance(document.get(key), list):
        return []
    return [str(one.get(name)) for one in document[key] if isinstance(one, dict)]


def _words(problem: Exception) -> str:
    return (" ".join(str(problem).split()) or type(problem).__name__)[:200]
