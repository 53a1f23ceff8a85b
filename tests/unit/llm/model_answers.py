"""Questions, scripted models, and an HTTP server that answers whatever a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tradeloop.errors import ModelFailed
from tradeloop.llm.chain import Link
from tradeloop.llm.chat import Said
from tradeloop.llm.prompt import Prompt
from tradeloop.ports import Question

QUESTION = Question(
    desk="settlement",
    role="decider",
    instructions="Weigh the opinions.",
    facts={"findings": [{"id": "F-1"}, {"id": "F-2"}]},
    quoted={"narrative": "please wait"},
    outcomes=("RELEASE", "WAIT", "ESCALATE"),
    fact_ids=("F-1", "F-2"),
)


def proposal(**changes: Any) -> str:
    return json.dumps({"rationale": "so", "outcome": "WAIT", "cited": ["F-1"], "confidence": 70} | changes)


@dataclass
class ScriptedChat:
    """A model that says what it was given, one by one, and the last again."""

    says: list[str | ModelFailed]
    name: str = "scripted"
    link: Link = field(init=False)
    prompts: list[Prompt] = field(default_factory=list)
    tokens: tuple[int, int] = (100, 20)

    def __post_init__(self) -> None:
        self.link = Link("ollama", self.name, "http://127.0.0.1:9")

    async def say(self, prompt: Prompt) -> Said:
        self.prompts.append(prompt)
        said = self.says[min(len(self.prompts), len(self.says)) - 1]
        if isinstance(said, ModelFailed):
            raise said
        return Said(said, *self.tokens)


@dataclass
class Reply:
    """One HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    breaks_off: bool = False


def of_openai(text: Any, usage: Any = None, finish_reason: str = "stop") -> Reply:
    """A whole answer of an OpenAI-compatible server."""
    message = {"role": "assistant", "content": text}
    document = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "x",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": usage or {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    return Reply(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"})


@dataclass
class Asked:
    """What the server was asked."""

    url: str
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    """Path, headers, JSON."""


@contextmanager
def server(*replies: Reply) -> Iterator[Asked]:
    """Answers the replies one by one, and the last again."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            document = json.loads(self.rfile.read(length) or b"null")
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.requests.append((self.path, headers, document))
            reply = replies[min(len(asked.requests), len(replies)) - 1]
            time.sleep(reply.after_s)
            if reply.breaks_off:
                self.connection.close()
                return
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:  # whoever asked went away
                return

        do_GET = do_POST  # noqa: N815

        def log_message(self, *words: Any) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    asked = Asked(f"http://127.0.0.1:{served.server_port}")
    try:
        yield asked
    finally:
        served.shutdown()
        served.server_close()
        thread.join()
