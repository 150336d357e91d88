# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer between plain sockets: servers here answer as an API server would, and say who they are."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from lab import pki
from lab.balancer import Balancer, listen

PERIOD = 0.05


class FakeServer:
    """Speaks TLS and HTTP/1.1: /readyz as told, /big one mebibyte, everything else its name."""

    def __init__(self, name: str, tls: ssl.SSLContext) -> None:
        self.name = name
        self.ready = True
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
                status = b"200 OK" if path != b"/readyz" or self.ready else b"500 no"
                body = b"x" * (1 << 20) if path == b"/big" else self.name.encode()
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
                await writer.drain()
        self._writers.discard(writer)


class Lab:
    """Servers, a balancer in front of them, and a client's view."""

    def __init__(self, servers: list[FakeServer], balancer: Balancer, port: int, tls: ssl.SSLContext) -> None:
        self.servers = servers
        self.balancer = balancer
        self.port = port
        self._tls = tls

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self._tls)

    async def ask(self, path: str = "/") -> bytes:
        reader, writer = await self.connect()
        try:
            return await ask(reader, writer, path)
        finally:
            writer.transport.abort()

    async def until(self, *healthy: bool) -> None:
        """The balancer sees the servers so."""
        await eventually(lambda: [server.healthy for server in self.balancer.servers] == list(healthy))


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str = "/") -> bytes:
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.rpartition(b": ")[2]))


async def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's TLS settings."""
    directory: Path = tmp_path_factory.mktemp("tls")
    ca = pki.authority("test-ca")
    ca.write(directory / "ca")
    pki.certificate(ca, "server", hosts=["127.0.0.1"]).write(directory / "server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "server.crt", directory / "server.key")
    return server, ssl.create_default_context(cafile=directory / "ca.crt")


@contextlib.asynccontextmanager
async def running(contexts: tuple[ssl.SSLContext, ssl.SSLContext], count: int = 3) -> AsyncIterator[Lab]:
    servers = [FakeServer(f"server-{i}", contexts[0]) for i in range(count)]
    for server in servers:
        await server.start()
    targets = [("127.0.0.1", server.port) for server in servers]
    balancer = Balancer(targets, contexts[1], period=PERIOD, timeout=0.5)
    listener = listen("127.0.0.1", 0)
    lab = Lab(servers, balancer, listener.getsockname()[1], contexts[1])
    task = asyncio.create_task(balancer.serve([listener]))
    try:
        await lab.until(*[True] * count)
        yield lab
    finally:
        task.cancel()
        for server in servers:
            await server.stop()


def run(contexts: tuple[ssl.SSLContext, ssl.SSLContext], scenario: Callable[[Lab], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), running(contexts) as lab:
            await scenario(lab)

    asyncio.run(main())


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


def test_new_sessions_go_round_all_servers(contexts: Contexts) -> None:
    async def scenario(lab: Lab) -> None:
        answers = {await lab.ask() for _unused in range(6)}
        assert answers == {b"server-0", b"server-1", b"server-2"}

    run(contexts, scenario)


def test_an_unready_server_gets_no_new_session_but_keeps_its_old_ones(contexts: Contexts) -> None:
    async def scenario(lab: Lab) -> None:
        sessions = {}
        while b"server-1" not in sessions:
            session = await lab.connect()
            sessions[await ask(*session)] = session
        lab.servers[1].ready = False
        await lab.until(True, False, True)
        assert b"server-1" not in {await lab.ask() for _unused in range(6)}
        assert await ask(*sessions[b"server-1"]) == b"server-1"
        lab.servers[1].ready = True
        await lab.until(True, True, True)
        assert b"server-1" in {await lab.ask() for _unused in range(3)}

    run(contexts, scenario)


def test_sessions_of_a_vanished_server_end_and_others_go_on(contexts: Contexts) -> None:
    async def scenario(lab: Lab) -> None:
        sessions = {}
        while len(sessions) < 3:
            session = await lab.connect()
            sessions[await ask(*session)] = session
        await lab.servers[0].stop()
        await lab.until(False, True, True)
        assert await sessions[b"server-0"][0].read() == b""
        assert await ask(*sessions[b"server-2"]) == b"server-2"
        assert b"server-0" not in {await lab.ask() for _unused in range(6)}

    run(contexts, scenario)


def test_unready_servers_are_used_when_there_is_no_other(contexts: Contexts) -> None:
    async def scenario(lab: Lab) -> None:
        for server in lab.servers:
            server.ready = False
        await lab.until(False, False, False)
        assert await lab.ask() in {b"server-0", b"server-1", b"server-2"}

    run(contexts, scenario)


def test_clients_are_cut_off_when_nobody_answers(contexts: Contexts) -> None:
    async def scenario(lab: Lab) -> None:
        for server in lab.servers:
            await server.stop()
        await lab.until(False, False, False)
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await lab.ask()
        assert lab.balancer.refused >= 1

    run(contexts, scenario)


def test_large_answers_arrive_whole_at_a_slow_reader(contexts: Contexts) -> None:
    async def scenario(lab: Lab) -> None:
        reader, writer = await lab.connect()
        writer.write(b"GET /big HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < 1 << 20:
            received += len(await reader.read(4096))
        assert received == 1 << 20
        writer.transport.abort()

    run(contexts, scenario)


def test_a_closed_client_leaves_no_session_behind(contexts: Contexts) -> None:
    async def scenario(lab: Lab) -> None:
        _unused, writer = await lab.connect()
        await eventually(lambda: any(server.sessions for server in lab.balancer.servers))
        writer.transport.abort()
        await eventually(lambda: not any(server.sessions for server in lab.balancer.servers))

    run(contexts, scenario)
