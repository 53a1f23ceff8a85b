"""Several workers and relays, killed and started again as a supervisor would."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tradeloop.bench.stage import POLL_S
from tradeloop.errors import PartFailed
from tradeloop.stack.home import Home
from tradeloop.stack.processes import Child, end_group, python_environment, spawn, wait_until_ended

READY_WITHIN_S: Final = 180.0
AGAIN_S: Final = 1.0


@dataclass(frozen=True)
class Post:
    """One place in the crew: what runs there and how it says that it is ready."""

    name: str
    part: str
    module: Sequence[str]
    """Words after `python -m`."""
    phrase: str


@dataclass
class Crew:
    """Processes of a stack beside its own parts; ended by `end`."""

    home: Home
    environment: Mapping[str, str]
    posts: Sequence[Post]
    _children: dict[str, Child] = field(default_factory=dict)
    ended_by_themselves: list[str] = field(default_factory=list)
    """Places whose process ended though nobody had killed it: a defect, told in the figures."""

    def start(self) -> None:
        """Start everybody; returns when all are ready."""
        for post in self.posts:
            self._spawn(post)
        for post in self.posts:
            self._wait(post)

    def of(self, part: str, which: int) -> Post:
        """One of the posts of a part."""
        posts = [post for post in self.posts if post.part == part]
        return posts[which % len(posts)]

    def kill(self, post: Post) -> None:
        """Kill -9."""
        child = self._children[post.name]
        child.signal(signal.SIGKILL)
        child.popen.wait()

    def revive(self, post: Post) -> None:
        """Start it again; returns when it is ready."""
        self._spawn(post)
        self._wait(post)

    def signal(self, post: Post, number: int) -> None:
        """Send a signal to its group."""
        self._children[post.name].signal(number)

    def look_after(self) -> None:
        """Start again whoever ended without being killed."""
        for post in self.posts:
            if self._children[post.name].has_ended():
                self.ended_by_themselves.append(post.name)
                self.revive(post)

    def end(self) -> None:
        """End everybody: politely, then by force."""
        children = list(self._children.values())
        for child in children:
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)
        wait_until_ended(children, 8)
        for child in children:
            end_group(child, self.home.root)

    def _spawn(self, post: Post) -> None:
        argv = [sys.executable, "-m", *post.module]
        variables = {**python_environment(), **self.environment}
        self._children[post.name] = spawn(argv, variables, self.home.log(post.name), self.home.root)

    def _wait(self, post: Post) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._is_ready(post):
            if time.monotonic() > deadline:
                raise PartFailed(f"{post.name} did not start.", where=str(self._children[post.name].log))
            if self._children[post.name].has_ended():  # its servers may be away: a supervisor would try again
                time.sleep(AGAIN_S)
                self._spawn(post)
            time.sleep(POLL_S)

    def _is_ready(self, post: Post) -> bool:
        child = self._children[post.name]
        return not child.has_ended() and _says(child.log, child.log_offset, post.phrase)


def _says(log: Path, offset: int, phrase: str) -> bool:
    with log.open("rb") as file:
        file.seek(offset)
        return phrase.encode() in file.read(1_048_576)


def crew_of_ours(workers: int = 2, relays: int = 2) -> list[Post]:
    """Two of each, as a site would run them: what one held, the other takes over."""
    return [
        *(Post(f"worker-{n}", "worker", ("tradeloop", "worker"), "worker_started") for n in range(workers)),
        *(Post(f"relay-{n}", "relay", ("tradeloop", "relay"), "relay_started") for n in range(relays)),
    ]


def crew_of_the_seed(workers: int = 2) -> list[Post]:
    """The design that is compared with: its consumers publish themselves."""
    module = ("tradeloop.bench.seed_design",)
    return [Post(f"worker-{n}", "worker", module, "seed_design_started") for n in range(workers)]
