"""Which tools of which MCP servers agents may have: what an operator wrote down and pinned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tradeloop.errors import SettingInvalid

SETTING: Final = "TRADELOOP_TOOLS"
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
"""No slash: `server/tool` must have one meaning."""
Words = Annotated[str, StringConstraints(min_length=1, max_length=250)]


def _address(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    _ = parts.port  # ValueError when it is none
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError("http(s)://HOST/PATH without a user is expected")
    return url


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AllowedTool(_Part):
    """One tool, for one specialist of one desk."""

    name: Name
    desk: Words
    role: Words
    """The specialist's name."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the tool as it was when it was looked at; `tradeloop tools list` prints it."""
    arguments: dict[Words, Words] = Field(default_factory=dict)
    """By argument, the field of the desk's header that it is."""


class ToolServer(_Part):
    """One MCP server and what of it is allowed."""

    command: tuple[Words, ...] = ()
    """Program and arguments of a server on stdio, or ..."""
    url: Annotated[str, AfterValidator(_address)] | None = None
    """... the address of one on streamable HTTP."""
    env: dict[Words, str] = Field(default_factory=dict)
    """For the program, which inherits only HOME, PATH and their like; `${NAME}` is taken from our environment."""
    token_file: Path | None = None
    """Holds the bearer token for the address."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """Of the list of tools, and of each call."""
    open_s: float = Field(default=15.0, gt=0, le=60)
    """Of opening a session: a program must start for it."""
    max_chars: int = Field(default=2000, ge=100, le=100_000)
    """Of one answer, as it is quoted to the model; the rest is cut off."""
    tools: tuple[AllowedTool, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("either command or url is expected")
        if self.env and not self.command:
            raise ValueError("env is of a command")
        if self.token_file and not self.url:
            raise ValueError("token_file is of a url")
        places = [(tool.name, tool.desk, tool.role) for tool in self.tools]
        if len(set(places)) < len(places):
            raise ValueError("a tool stands twice for the same desk and role")
        return self


class ToolFile(_Part):
    """The file that TRADELOOP_TOOLS names."""

    servers: dict[Name, ToolServer] = Field(min_length=1)


def load_tool_file(file: Path) -> ToolFile:
    """The servers by name.

    Raises:
        SettingInvalid: names the file, the field and what is expected.
    """
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingInvalid(f"{SETTING}: {file} cannot be read: {' '.join(str(problem).split())}") from problem
    try:
        return ToolFile.model_validate(raw)
    except ValidationError as problem:
        raise SettingInvalid(
            f"{SETTING}: {_told(problem.errors(include_url=False)[0])}",
            where=f"read from: {file}",
            hint="docs/tools.md",
        ) from problem


def token_of(name: str, server: ToolServer) -> str:
    """The bearer token of a server; empty when it has none.

    Raises:
        SettingInvalid: its file cannot be read, or holds no token.
    """
    if server.token_file is None:
        return ""
    try:
        token = server.token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingInvalid(f"{SETTING}: servers.{name}.token_file cannot be read: {problem}") from problem
    if not token or not token.isascii() or not token.isprintable():
        raise SettingInvalid(f"{SETTING}: servers.{name}.token_file holds no token: one line of ASCII is expected")
    return token


def _told(error: ErrorDetails) -> str:
    place = ".".join(str(step) for step in error["loc"] if step != "[key]") or "the file"
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"
