# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP load balancer in front of the API servers.

It knows nothing of the lab: listening sockets are handed in (a socket stays in the network namespace it was made in), and
it connects to the servers from the namespace it runs in.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger("balancer")

CONNECT_TIMEOUT = 0.5


@dataclass
class Server:
    """An API server as the balancer sees it. New sessions go to healthy servers as long as there is one."""

    host: str
    port: int
    healthy: bool = False
    failures: int = 0
    served: int = 0
    sessions: set[Side] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


class Side(asyncio.Protocol):
    """One side of a session: what arrives here is written to the other side, at the pace the other side can take."""

    def __init__(self, connected: Callable[[Side], None] | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: asyncio.Transport | None = None
        self.server: Server | None = None
        self._early: list[bytes] = []
        self._early_end = False
        self._connected = connected

    def join(self, other: Side) -> None:
        """From now on data flows to the other side; what came before is handed over first."""
        assert other.transport is not None
        self.other = other.transport
        for data in self._early:
            self.other.write(data)
        self._early.clear()
        if self._early_end:
            self.eof_received()

    @property
    def closing(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._connected:
            self._connected(self)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        elif not self.other.is_closing():
            self.other.write(data)

    def eof_received(self) -> bool:
        """The end of one direction is passed on; the other direction stays open."""
        if self.other is None:
            self._early_end = True
        elif not self.other.is_closing() and self.other.can_write_eof():
            self.other.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other and not self.other.is_closing():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if self.other and not self.other.is_closing():
            self.other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other and not self.other.is_closing():
            self.other.close()
        if self.server:
            self.server.sessions.discard(self)

    def abort(self) -> None:
        if self.transport:
            self.transport.abort()


class Balancer:
    """Spreads sessions over the servers whose /readyz answers 200; ends the sessions of servers that are gone."""

    def __init__(
        self,
        servers: Iterable[tuple[str, int]],
        tls: ssl.SSLContext,
        *,
        path: str = "/readyz",
        period: float = 0.5,
        timeout: float = 1.0,
    ) -> None:
        self.servers = [Server(host, port) for host, port in servers]
        self.refused = 0
        self._tls = tls
        self._path = path
        self._period = period
        self._timeout = timeout
        self._next = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, sockets: Iterable[socket.socket]) -> None:
        """Runs until cancelled."""
        loop = asyncio.get_running_loop()
        for listener in sockets:
            await loop.create_server(lambda: Side(self._start_session), sock=listener, backlog=256)
        await asyncio.gather(*(self._watch(server) for server in self.servers))

    def status(self) -> dict[str, object]:
        """For people and tests: who is healthy and how many sessions each server has."""
        servers = {
            server.name: {"healthy": server.healthy, "sessions": len(server.sessions), "served": server.served}
            for server in self.servers
        }
        return {"servers": servers, "refused": self.refused}

    def _start_session(self, client: Side) -> None:
        task = asyncio.get_running_loop().create_task(self._session(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _session(self, client: Side) -> None:
        """The client is joined to the first server that accepts, or cut off when none does."""
        self._next += 1
        turn = self._next % len(self.servers)
        order = self.servers[turn:] + self.servers[:turn]
        loop = asyncio.get_running_loop()
        for server in sorted(order, key=lambda server: not server.healthy):
            side = Side()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await loop.create_connection(lambda side=side: side, server.host, server.port)  # type: ignore[misc]
            except (OSError, TimeoutError):
                server.healthy = False
                continue
            if side.closing:  # accepted and reset at once
                continue
            if client.closing:
                side.abort()
                return
            server.served += 1
            server.sessions.add(side)
            side.server = server
            client.join(side)
            side.join(client)
            return
        self.refused += 1
        client.abort()

    async def _watch(self, server: Server) -> None:
        """Keeps `healthy` true to the server's own word, on one kept connection."""
        probe = _Probe(server, self._tls, self._path)
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await probe.ask()
            except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
                probe.close()
                answer = f"{type(error).__name__} {error}".strip()
            healthy = answer == "200"
            if healthy != server.healthy:
                log.info(
                    "%s: %s (%s), %d sessions", server.name, "in" if healthy else "out", answer, len(server.sessions)
                )
            server.healthy = healthy
            server.failures = 0 if healthy else server.failures + 1
            if server.failures >= 2 and server.sessions and not await self._accepts(server):
                log.info("%s: gone, ending %d sessions", server.name, len(server.sessions))
                for side in list(server.sessions):
                    side.abort()
            await asyncio.sleep(self._period if healthy else min(self._period, 0.2))

    async def _accepts(self, server: Server) -> bool:
        """Slow or gone: a living machine accepts connections even when its server is starved."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _unused, writer = await asyncio.open_connection(server.host, server.port)
        except (OSError, TimeoutError):
            return False
        writer.transport.abort()
        return True


class _Probe:
    """Asks a server for one path again and again; connects when there is no connection."""

    def __init__(self, server: Server, tls: ssl.SSLContext, path: str) -> None:
        self._server = server
        self._tls = tls
        self._request = f"GET {path} HTTP/1.1\r\nHost: {server.name}\r\n\r\n".encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> str:
        """The status code."""
        if self._streams is None:
            host = self._server.host
            self._streams = await asyncio.open_connection(host, self._server.port, ssl=self._tls, server_hostname=host)
        reader, writer = self._streams
        writer.write(self._request)
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        lengths = [int(line.partition(":")[2]) for line in headers if line.startswith("content-length:")]
        await reader.readexactly(lengths[0] if lengths else 0)
        return status.split(" ")[1]

    def close(self) -> None:
        if self._streams:
            self._streams[1].transport.abort()
        self._streams = None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket in the network namespace of this process."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(256)
    listener.setblocking(False)
    return listener


async def _run(balancer: Balancer, sockets: Sequence[socket.socket], status_file: Path) -> None:
    async def report() -> None:
        while True:
            unfinished = status_file.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(balancer.status(), indent=1))
            unfinished.rename(status_file)
            await asyncio.sleep(1)

    await asyncio.gather(balancer.serve(sockets), report())


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a balancer on inherited sockets until it is killed."""
    parser = argparse.ArgumentParser(prog="lab.balancer")
    parser.add_argument("--fd", type=int, action="append", required=True, help="inherited listening socket")
    parser.add_argument("--server", action="append", required=True, metavar="HOST:PORT")
    parser.add_argument("--ca", required=True, help="file with the certificate that the servers are checked against")
    parser.add_argument("--status", type=Path, required=True, help="file that shows the state once a second")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%H:%M:%S")
    servers = [(host, int(port)) for host, _unused, port in (text.rpartition(":") for text in options.server)]
    balancer = Balancer(servers, ssl.create_default_context(cafile=options.ca))
    sockets = [socket.socket(fileno=fd) for fd in options.fd]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(balancer, sockets, options.status))


if __name__ == "__main__":
    main()
