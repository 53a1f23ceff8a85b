"""The file of tools: what fits, what does not and how that is told; arguments and answers at their bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp.types import Tool

from tradeloop.errors import PrerequisiteMissing, SettingInvalid, ToolUnavailable
from tradeloop.llm import tools as tools_module
from tradeloop.llm.prompt import escaped_json
from tradeloop.llm.tool_file import AllowedTool, load_tool_file
from tradeloop.llm.tool_session import offered_of
from tradeloop.llm.tools import arguments_of, checked_file, cut

DIGEST = "ab" * 32
TOOL = f"{{name: price, desk: marketdata, role: quality, digest: {DIGEST}, arguments: {{symbol: symbol}}}}"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tools.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    file = load_tool_file(written(tmp_path, f"servers: {{a: {{command: [serve], tools: [{TOOL}]}}}}"))

    server = file.servers["a"]
    assert (server.timeout_s, server.max_chars, server.tools[0].arguments) == (5.0, 2000, {"symbol": "symbol"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file"),
        ("[]", "the file"),
        ("servers: {}", "servers"),
        ("{servers: {a: {command: [x]}}, more: 1}", "more"),
        ("servers: {a/b: {command: [x]}}", "servers.a/b"),
        ("servers: {a: {}}", "either command or url"),
        ("servers: {a: {command: [x], url: 'http://h/mcp'}}", "either command or url"),
        ("servers: {a: {url: 'ftp://h/mcp'}}", r"servers\.a\.url: http"),
        ("servers: {a: {url: 'http://me:secret@h/mcp'}}", r"servers\.a\.url: http"),
        ("servers: {a: {url: 'http://h:99999/mcp'}}", r"servers\.a\.url"),
        ("servers: {a: {url: 'http://h/', env: {A: b}}}", "env is of a command"),
        ("servers: {a: {command: [x], token_file: t}}", "token_file is of a url"),
        ("servers: {a: {command: [x], timeout_s: 0}}", r"servers\.a\.timeout_s"),
        ("servers: {a: {command: [x], max_chars: 5}}", r"servers\.a\.max_chars"),
        (f"servers: {{a: {{command: [x], tools: [{TOOL}, {TOOL}]}}}}", "stands twice"),
        (f"servers: {{a: {{command: [x], tools: [{TOOL.replace(DIGEST, 'latest')}]}}}}", r"tools\.0\.digest"),
        (f"servers: {{a: {{command: [x], tools: [{TOOL.replace('price', '../x')}]}}}}", r"tools\.0\.name"),
        ("servers: {a: [", "cannot be read"),
        ("servers: !!python/object/apply:os.system ['true']", "cannot be read"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingInvalid, match=told) as raised:
        load_tool_file(written(tmp_path, text))
    assert "TRADELOOP_TOOLS" in raised.value.message
    assert "secret" not in raised.value.message


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "x"):
        with pytest.raises(SettingInvalid, match="cannot be read"):
            load_tool_file(path)


@pytest.mark.parametrize("token", [None, b"", b"\xff", b"two\nlines", "ü".encode()])
def test_a_token_that_is_none_is_told_before_anything_is_asked(tmp_path: Path, token: bytes | None) -> None:
    if token is not None:
        (tmp_path / "token").write_bytes(token)
    path = written(tmp_path, f"servers: {{a: {{url: 'https://h/mcp', token_file: {tmp_path / 'token'}}}}}")
    with pytest.raises(SettingInvalid, match=r"servers\.a\.token_file"):
        checked_file(load_tool_file(path))


def test_packages_that_are_absent_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = load_tool_file(written(tmp_path, "servers: {a: {command: [x]}}"))
    monkeypatch.setattr(tools_module, "find_spec", lambda _: None)
    with pytest.raises(PrerequisiteMissing) as raised:
        checked_file(file)
    assert raised.value.hint == "pip install 'tradeloop[mcp]'"


HEADER: dict[str, Any] = {
    "symbol": "SPX", "attempt": 1, "flag": True, "none": None, "notes": {"a": "text"}, "narratives": ["text"],
    "long": "x" * 251, "lines": "a\nb", "hidden": "a\u202eb",
}  # fmt: skip


def test_arguments_are_short_typed_fields() -> None:
    use = AllowedTool(
        name="t", desk="d", role="r", digest=DIGEST, arguments={"a": "symbol", "b": "attempt", "c": "flag"}
    )
    assert arguments_of(use, HEADER) == {"a": "SPX", "b": 1, "c": True}


@pytest.mark.parametrize("name", ["none", "notes", "narratives", "long", "lines", "hidden", "absent", "symbol.x"])
def test_texts_collections_and_what_is_absent_are_no_arguments(name: str) -> None:
    use = AllowedTool(name="t", desk="d", role="r", digest=DIGEST, arguments={"a": name})
    with pytest.raises(ToolUnavailable, match="can be the argument a"):
        arguments_of(use, HEADER)


@pytest.mark.parametrize("text", ["a" * 5000, "<" * 5000, "ü" * 101, "\x00" * 500, "😀" * 60, "\ud800" * 90])
def test_an_answer_takes_no_more_room_than_it_may(text: str) -> None:
    told = cut(text, 100)
    assert len(escaped_json(told)) - 2 <= 100
    assert told.endswith("longer]")


@pytest.mark.parametrize("text", ["", "a", "a" * 100, "ü" * 16])
def test_an_answer_that_fits_is_left_alone(text: str) -> None:
    assert cut(text, 100) == text


def test_every_word_of_a_tool_is_in_its_digest() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    same = [
        Tool(name="t", description="d", inputSchema=schema),
        Tool(name="t", description="d", inputSchema=dict(reversed(schema.items())), title="other"),
    ]
    others = [
        Tool(name="u", description="d", inputSchema=schema),
        Tool(name="t", description="e", inputSchema=schema),
        Tool(name="t", description="d", inputSchema={**schema, "required": ["a"]}),
    ]
    assert len({offered_of(one).digest for one in same}) == 1
    assert len({offered_of(one).digest for one in [*same, *others]}) == 4
    assert offered_of(Tool(name="t", inputSchema={"maximum": float("nan")})).digest == ""
    assert offered_of(Tool(name="t", inputSchema={"title": "\ud800"})).digest == ""
