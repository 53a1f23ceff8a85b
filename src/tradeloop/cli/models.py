"""tradeloop models: whether the language models that are configured answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import FOUND, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, print_rows, printable, say
from tradeloop.cli.waiting import run

if TYPE_CHECKING:
    from tradeloop.llm.check import Checked

CHECK = epilog(
    "tradeloop models check",
    "tradeloop models check --model ollama:llama3.2,openai:qwen3@http://127.0.0.1:8000/v1 --json",
    codes={0: "every model answered as it should", FOUND: "a model did not"},
)
COLUMNS: Final = {"state": "STATE", "model": "MODEL", "took": "TOOK", "tokens": "TOKENS", "answer": "ANSWER"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models = typer.Typer(help="The language models that desks ask.", no_args_is_help=True)
    models.command("check", epilog=CHECK)(check)
    app.add_typer(models, name="models")


def check(
    model: Annotated[str, typer.Option(help="Models, by commas, instead of those of TRADELOOP_MODEL.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Ask each model that is configured the same fixed question, by itself: does its answer fit, and in which time.

    It costs a call or two of about a thousand tokens each, which no budget counts.
    """
    found = run(_checked(model), "the models' answers")
    if as_json:
        print_json([_plain(one) for one in found])
    elif not found:
        say("no model is configured: policy decides alone")
        note("next: TRADELOOP_MODEL=ollama:NAME, or openai:NAME with TRADELOOP_MODEL_URL; docs/models.md")
    else:
        print_rows(COLUMNS, [_row(one) for one in found], empty="")
    if any(one.answer is None for one in found):
        raise typer.Exit(FOUND)


async def _checked(model: str) -> list[Checked]:
    from tradeloop.cli.context import stack_settings, with_model
    from tradeloop.llm.check import check_each
    from tradeloop.testing.budgets import MemoryBudgets

    settings = stack_settings()
    return await check_each(with_model(settings, model) if model else settings, MemoryBudgets())


def _row(one: Checked) -> dict[str, Any]:
    told = one.answer.model if one.answer else {}
    return {
        "state": "ready" if one.answer else "failed",
        "model": str(one.link),
        "took": f"{one.took_s:.2f} s",
        "tokens": f"{told['tokens_in']} + {told['tokens_out']}" if told else "",
        "answer": f"{one.answer.outcome} on {', '.join(one.answer.cited) or 'no fact'}"
        if one.answer
        else printable(one.problem),
    }


def _plain(one: Checked) -> dict[str, Any]:
    return {
        "model": str(one.link),
        "url": one.link.url,
        "is_well": one.answer is not None,
        "took_s": round(one.took_s, 3),
        "answer": one.answer.model_dump(mode="json") if one.answer else None,
        "problem": one.problem,
    }
