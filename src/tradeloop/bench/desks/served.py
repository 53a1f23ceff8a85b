"""Models that are served for real: random weights, and the same with half of the answers broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tradeloop.llm.chain import Link
from tradeloop.llm.chat import LangChainChat, Manner
from tradeloop.llm.gateway import Bounds, Gateway
from tradeloop.ports import Agents
from tradeloop.testing.budgets import MemoryBudgets
from tradeloop.testing.model_server import model_server
from tradeloop.testing.random_model import write_random_model

SERVED: Final = ("random", "broken")
CONTEXT: Final = 32_768
MANNER: Final = Manner(timeout_s=20, max_tokens=512, context=CONTEXT, params=(("temperature", 0.8), ("top_k", 20)))


@contextmanager
def served(model: str) -> Iterator[Agents]:
    """The gateway to a model of this process's own, `random` or `broken`; it ends with the context.

    Raises:
        PrerequisiteMissing: a package that makes or serves it is not installed.
    """
    with TemporaryDirectory(prefix="tradeloop-model-") as folder:
        file = write_random_model(Path(folder) / f"{model}.gguf", broken=model == "broken")
        with model_server(file, name=model, context=CONTEXT) as url:
            yield Gateway(
                [LangChainChat(Link("openai", model, url), MANNER)], MemoryBudgets(), MANNER, Bounds(retries=1)
            )
