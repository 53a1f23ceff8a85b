"""Ports on loopback: the wanted one when it is free, the one of last time, or another."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

import psutil

LOOPBACK = "127.0.0.1"
NEIGHBOURS = 20
"""How many ports after the wanted one are tried before any free one is taken: near ones are easier to remember."""


@dataclass
class Ports:
    """The ports of one stack, remembered from start to start."""

    remembered: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """One sentence for each port that was not to be had."""
    _given: set[int] = field(default_factory=set)

    def choose(self, name: str, wanted: int, *, udp: bool = False) -> int:
        """A free port for this name; the same as last time when that is still free."""
        last = self.remembered.get(name, {})
        candidates: list[int] = [last["port"]] if last.get("wanted") == wanted else []
        if wanted:
            candidates += range(wanted, min(wanted + NEIGHBOURS, 65536))
        port = next((p for p in candidates if p not in self._given and is_free(p, udp=udp)), 0) or _any_free(udp=udp)
        if wanted and port != wanted:
            self.notes.append(f"port {wanted} is used{_holder(wanted)}; {name} has {port}")
        self._given.add(port)
        self.remembered[name] = {"wanted": wanted, "port": port}
        return port


def is_free(port: int, *, udp: bool = False) -> bool:
    """Whether a server could listen there now, on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        if not udp:
            # A port whose last connections are still in TIME_WAIT is free; one that is listened on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _any_free(*, udp: bool) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return ""
