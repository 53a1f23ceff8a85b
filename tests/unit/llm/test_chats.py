"""LangChain's models against servers that answer in every wrong way there is."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from model_answers import QUESTION, Reply, of_openai, proposal, server

from tradeloop.errors import ModelFailed, PrerequisiteMissing, SettingInvalid
from tradeloop.llm.chain import Link
from tradeloop.llm.chat import LangChainChat, Manner
from tradeloop.llm.prompt import prompt_of
from tradeloop.llm.reach import reach_of

PROMPT = prompt_of(QUESTION)
PARAMS = (("num_thread", 1), ("temperature", 0.5), ("top_k", 20))
PATIENT, HURRIED = Manner(timeout_s=60, params=PARAMS), Manner(timeout_s=0.3, params=PARAMS)


def of_ollama(text: str) -> Reply:
    document = {
        "model": "x",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 11,
        "eval_count": 7,
    }
    return Reply(body=json.dumps(document).encode() + b"\n", headers={"Content-Type": "application/x-ndjson"})


def chat(url: str, provider: str = "openai", manner: Manner = PATIENT, key: str = "") -> LangChainChat:
    return LangChainChat(Link(provider, "x", url if provider == "ollama" else f"{url}/v1", key), manner)  # type: ignore[arg-type]


async def test_openai_is_asked_by_schema_with_the_sampling_and_the_key() -> None:
    with server(of_openai(proposal())) as asked:
        said = await chat(asked.url, key="sesame").say(PROMPT)

    assert (said.text, said.tokens_in, said.tokens_out) == (proposal(), 11, 7)
    path, headers, body = asked.requests[0]
    assert (path, headers["authorization"]) == ("/v1/chat/completions", "Bearer sesame")
    assert body["response_format"]["type"] == "json_schema"
    sent = body["response_format"]["json_schema"]["schema"]["properties"]
    assert sent["outcome"]["enum"] == list(QUESTION.outcomes)
    assert sent["cited"]["items"]["enum"] == list(QUESTION.fact_ids)
    assert [(one["role"], one["content"]) for one in body["messages"]] == PROMPT.messages
    assert (body["temperature"], body["top_k"]) == (0.5, 20)
    assert "num_thread" not in body
    assert (body.get("max_tokens") or body.get("max_completion_tokens")) == 1024


async def test_ollama_is_asked_by_schema_with_its_threads_and_a_context_of_its_own() -> None:
    with server(of_ollama(proposal())) as asked:
        said = await chat(asked.url, "ollama").say(PROMPT)

    assert (said.text, said.tokens_in, said.tokens_out) == (proposal(), 11, 7)
    path, _, body = asked.requests[0]
    assert path == "/api/chat"
    assert body["format"]["properties"]["outcome"]["enum"] == list(QUESTION.outcomes)
    options = body["options"]
    assert (options["num_thread"], options["num_ctx"], options["num_predict"]) == (1, 16_384, 1024)


@pytest.mark.parametrize("provider", ["openai", "ollama"])
@pytest.mark.parametrize(
    ("reply", "passing", "free"),
    [
        (Reply(500, b'{"error": "it broke"}'), True, False),
        (Reply(503, b""), True, False),
        (Reply(429, b"{}", {"Retry-After": "7"}), True, True),
        (Reply(400, b'{"error": {"message": "context"}}'), False, True),
        (Reply(401, b""), False, True),
        (Reply(404, b'{"error": "no such model"}'), False, True),
        (Reply(200, b"<html>hello</html>", {"Content-Type": "text/html"}), False, False),
        (Reply(200, b"", {"Content-Type": "application/json"}), False, False),
        (Reply(200, b"null", {"Content-Type": "application/json"}), False, False),
        (Reply(200, b"[[[", {"Content-Type": "application/json"}), False, False),
        (Reply(200, b"\xff\xfe\x00", {"Content-Type": "application/json"}), False, False),
        (Reply(200, b'{"choices": []}', {"Content-Type": "application/json"}), False, False),
        (Reply(200, b'{"choices": null, "error": "x"}', {"Content-Type": "application/json"}), False, False),
        (Reply(after_s=1), True, False),
        (Reply(breaks_off=True), True, False),
    ],
)
async def test_every_wrong_answer_is_a_failure_that_says_what_to_make_of_it(
    provider: str, reply: Reply, passing: bool, free: bool
) -> None:
    with server(reply) as asked, pytest.raises(ModelFailed) as raised:
        await chat(asked.url, provider, HURRIED if reply.after_s else PATIENT).say(PROMPT)

    assert (raised.value.passing, raised.value.free) == (passing, free), raised.value.message
    assert len(asked.requests) == 1


async def test_a_server_that_says_when_to_come_back_is_heard() -> None:
    with server(Reply(429, b"{}", {"Retry-After": "7"})) as asked, pytest.raises(ModelFailed) as raised:
        await chat(asked.url).say(PROMPT)
    assert raised.value.after_s == 7


@pytest.mark.parametrize("text", [None, [{"type": "image"}], ""])
async def test_an_answer_of_another_shape_is_no_text_or_an_empty_one(text: object) -> None:
    with server(of_openai(text)) as asked:
        try:
            said = await chat(asked.url).say(PROMPT)
        except ModelFailed:
            return
    assert said.text == ""


async def test_text_that_is_no_json_is_handed_on_for_the_repair() -> None:
    for provider, reply in (("openai", of_openai("I think so")), ("ollama", of_ollama("I think so"))):
        with server(reply) as asked:
            assert (await chat(asked.url, provider).say(PROMPT)).text == "I think so"


async def test_an_answer_that_was_cut_off_is_handed_on_for_the_repair_with_its_tokens() -> None:
    with server(of_openai('{"rationale": "so', finish_reason="length")) as asked:
        said = await chat(asked.url).say(PROMPT)
    assert (said.text, said.tokens_in, said.tokens_out) == ('{"rationale": "so', 11, 7)


@pytest.mark.parametrize("provider", ["openai", "ollama"])
async def test_where_nobody_listens_the_call_certainly_cost_nothing(provider: str) -> None:
    with server(Reply()) as gone:
        pass
    with pytest.raises(ModelFailed) as raised:
        await chat(gone.url, provider).say(PROMPT)
    assert (raised.value.passing, raised.value.free) == (True, True), raised.value.message


async def test_a_call_that_is_cancelled_stays_cancelled() -> None:
    with server(Reply(after_s=1)) as asked:
        task = asyncio.create_task(chat(asked.url, manner=Manner(timeout_s=5)).say(PROMPT))
        while not asked.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_key_is_in_no_text_of_its_model() -> None:
    assert "sesame" not in repr(Link("openai", "x", "http://127.0.0.1:9/v1", "sesame"))


async def test_the_reach_of_a_model_is_told_without_asking_it() -> None:
    openai = Link("openai", "x", "URL", "sesame")
    ollama = Link("ollama", "x", "URL")

    async def reach(link: Link, reply: Reply) -> tuple[bool, bool, str]:
        with server(reply) as asked:
            found = await reach_of(Link(link.provider, link.name, asked.url, link.key))
            assert asked.requests[0][1].get("authorization") == ("Bearer sesame" if link.key else None)
        return found.is_reachable, found.has_model, found.words

    assert (await reach(openai, Reply(body=b'{"data": [{"id": "x"}]}')))[:2] == (True, True)
    assert (await reach(ollama, Reply(body=b'{"models": [{"name": "x:latest"}]}')))[:2] == (True, True)
    reachable, has_model, words = await reach(ollama, Reply(body=b'{"models": [{"name": "y"}, 7]}'))
    assert (reachable, has_model) == (True, False)
    assert words.endswith("has no x; it has y")
    assert (await reach(openai, Reply(body=b"[]")))[:2] == (True, False)
    assert (await reach(openai, Reply(401)))[:2] == (True, False)
    assert (await reach(openai, Reply(body=b"<html>")))[:2] == (False, False)
    assert not (await reach_of(Link("openai", "x", "http://127.0.0.1:9/v1"))).is_reachable


def test_a_key_is_sent_to_its_own_server_alone(tmp_path: Path) -> None:
    from tradeloop.llm.chain import chain_of
    from tradeloop.settings import Settings

    (tmp_path / "key").write_text("sesame\n")
    settings = Settings(
        model=["openai:a", "openai:b@http://127.0.0.1:9/v1", "ollama:c"],
        model_key_file=tmp_path / "key",
        _env_file=None,
    )
    assert [link.key for link in chain_of(settings)] == ["sesame", "", ""]
    with pytest.raises(SettingInvalid, match="needs a key"):
        chain_of(settings.model_copy(update={"model_key_file": None}))


def test_a_package_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(PrerequisiteMissing, match="not installed") as raised:
        chat("http://127.0.0.1:9", "ollama")
    assert raised.value.hint == "pip install 'tradeloop[models]'"


async def test_a_server_that_names_no_time_is_asked_again_soon() -> None:
    reply = Reply(429, b"{}", {"Retry-After": "Fri, 27 Nov 2026 20:00:00 GMT"})
    with server(reply) as asked, pytest.raises(ModelFailed) as raised:
        await chat(asked.url).say(PROMPT)
    assert raised.value.after_s == 0
