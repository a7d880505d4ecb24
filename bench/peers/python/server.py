"""netconduit's server as one side of a measurement."""

import asyncio
import contextlib
import functools
import gc
import logging
import socket
import time

from conduit import Server, ServerDescriptor
from pydantic import BaseModel

from side import Side, add_process_commands, mark, pattern

PASSWORD = "a password for the bench"
NEWS_TEXT = "twenty-eight bytes of news.."
# A closed connection counts until a heartbeat fails, so the limit is above the number of connections.
SPARE_CONNECTIONS = 100_000
STOP_SECONDS = 3

side = Side()
add_process_commands(side)
logging.getLogger("conduit").setLevel(logging.ERROR)


class AddParams(BaseModel):
    a: float
    b: float


class Signals:
    """Receives a byte from the client's process whenever all clients have received a broadcast."""

    def __init__(self):
        self._received = asyncio.Semaphore(0)

    async def listen(self):
        self._server = await asyncio.start_server(self._read, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def next(self):
        await self._received.acquire()

    async def _read(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1024):
                for _ in chunk:
                    self._received.release()
        writer.close()


class State:
    server = None
    signals = None
    last_number = 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


served = functools.lru_cache(maxsize=None)(pattern)


def make(port, max_connections, methods):
    server = Server(
        ServerDescriptor(
            host="127.0.0.1", port=port, password=PASSWORD, max_connections=max_connections + SPARE_CONNECTIONS
        )
    )

    async def add(params: AddParams) -> float:
        return params.a + params.b

    for index in range(methods):
        server.rpc(name="add" if index == 0 else f"add{index}")(add)

    @server.rpc
    async def upload(data) -> int:
        return mark(data)

    @server.rpc
    async def download(length: int):
        return served(length)

    @server.on("message")
    async def message(connection, data):
        return data

    return server


@side.command
async def start(tls, maxConnections, maxPayloadBytes, methods):
    if tls:
        raise ValueError("netconduit has no TLS")
    # netconduit refuses port 0, so this picks a free port, which another program may take meanwhile.
    for _ in range(20):
        port = free_port()
        server = make(port, maxConnections, methods)
        try:
            await server.start()
        except OSError:
            continue
        State.server = server
        State.signals = Signals()
        return {"target": {"host": "127.0.0.1", "port": port}, "signalPort": await State.signals.listen()}
    raise RuntimeError("no free port found")


@side.command
async def connectionCount():
    return State.server.connection_count


@side.command
async def memory():
    gc.collect()
    with open("/proc/self/status") as status:
        kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return {"rssBytes": kilobytes * 1024, "heapBytes": None}


@side.command
async def broadcast(perTurn, seconds):
    messages = 0
    total = 0
    started = time.perf_counter()
    now = started
    while now < started + seconds:
        for _ in range(perTurn):
            State.last_number += 1
            total += State.last_number
            await State.server.broadcast("news", {"n": State.last_number, "text": NEWS_TEXT})
        messages += perTurn
        await State.signals.next()
        now = time.perf_counter()
    return {"messages": messages, "sum": total, "seconds": now - started}


@side.command
async def stop():
    # Server.stop() holds a lock that each closing connection waits for: it never ends while one is left.
    for connection in State.server.connections:
        await connection.stop()
    # It may wait for the heartbeats of closed connections; the process exits next anyway.
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(State.server.stop(), STOP_SECONDS)


side.run()
