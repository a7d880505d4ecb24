"""netconduit's client as one side of a measurement, with the loops of lib/load.ts and lib/client-side.ts."""

import asyncio
import itertools
import logging
import math
import time

from conduit import Client, ClientDescriptor, data

from side import Side, add_process_commands, mark, pattern

PASSWORD = "a password for the bench"
MESSAGE_TEXT = "what a chat line might say"
MAX_SAMPLES = 1_000_000
# A client with this many seconds' worth of calls waiting doesn't keep up.
MAX_BEHIND_SECONDS = 0.5

side = Side()
add_process_commands(side)
logging.getLogger("conduit").setLevel(logging.ERROR)


class Connection:
    """A client and its pending messages. netconduit's replies have no request id, so their data has one."""

    def __init__(self, target):
        self.client = Client(
            ClientDescriptor(
                server_host=target["host"], server_port=target["port"], password=PASSWORD, reconnect_enabled=False
            )
        )
        self._waiting = {}
        self.news = None

        @self.client.on("message_response")
        async def replied(reply):
            self._waiting.pop(reply["id"]).set_result(reply)

        @self.client.on("news")
        async def heard(news):
            if self.news is not None:
                self.news(news["n"])

    async def connect(self):
        if not await self.client.connect():
            raise RuntimeError("the client could not connect")

    async def call(self, method, **params):
        # It resolves with {'success': True, 'data': 30}, as its README shows.
        return (await self.client.rpc.call(method, args=data(**params)))["data"]

    async def request(self, message):
        reply = asyncio.get_running_loop().create_future()
        self._waiting[message["id"]] = reply
        await self.client.send("message", message)
        return await reply


class Watcher:
    """Counts broadcasts on all clients."""

    def __init__(self):
        self._deliveries = 0
        self._sum = 0
        self._expected = 0
        self._missing = 0
        self._signal = None

    async def expect(self, expected, port):
        self._expected = self._missing = expected
        if self._signal is None:
            _, self._signal = await asyncio.open_connection("127.0.0.1", port)

    def received(self, n):
        self._deliveries += 1
        self._sum += n
        self._missing -= 1
        if self._missing == 0:
            self._missing = self._expected
            self._signal.write(b"!")

    def take(self):
        taken = {"deliveries": self._deliveries, "sum": self._sum}
        self._deliveries = self._sum = 0
        return taken


connections = []
watcher = Watcher()


def percentile(ordered, percent):
    """As `percentile` in lib/statistics.ts."""
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def operation(kind, methods):
    """Returns a coroutine function that makes one call and raises if the reply is wrong."""
    connection = connections[0]
    numbers = itertools.count(1)

    async def request():
        sent = {"id": next(numbers), "text": MESSAGE_TEXT}
        reply = await connection.request(sent)
        if reply != sent:
            raise ValueError(f"The reply to {sent} is {reply}")

    async def call():
        n = next(numbers)
        a = n & 0xFFFF
        index = n % methods
        result = await connection.call("add" if index == 0 else f"add{index}", a=a, b=7)
        if result != a + 7:
            raise ValueError(f"{a} + 7 came back as {result}")

    return request if kind == "request" else call


@side.command
async def connect(target, tls, maxPayloadBytes, count, concurrency):
    left = iter(range(count))

    async def worker():
        for _ in left:
            connection = Connection(target)
            await connection.connect()
            connections.append(connection)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(min(concurrency, count))))
    return {"seconds": time.perf_counter() - started}


@side.command
async def disconnect():
    closing = connections[:]
    connections.clear()
    await asyncio.gather(*(connection.client.disconnect() for connection in closing))


@side.command
async def callEach():
    for connection in connections:
        result = await connection.call("add", a=1, b=2)
        if result != 3:
            raise ValueError(f"1 + 2 came back as {result}")


async def run_for(seconds, one, count):
    """Keeps `count` of `one()` in flight for about `seconds`; returns how many ended, and the seconds it took."""
    started = time.perf_counter()
    until = started + seconds
    done = 0

    async def worker():
        nonlocal done
        while time.perf_counter() < until:
            await one()
            done += 1

    await asyncio.gather(*(worker() for _ in range(count)))
    return done, time.perf_counter() - started


@side.command
async def load(kind, inFlight, seconds, methods):
    one = operation(kind, methods)
    samples = []

    async def timed():
        before = time.perf_counter()
        await one()
        if len(samples) < MAX_SAMPLES:
            samples.append((time.perf_counter() - before) * 1000)

    count, elapsed = await run_for(seconds, timed if inFlight == 1 else one, inFlight)
    return {"count": count, "seconds": elapsed, "medianMs": percentile(sorted(samples), 50) if samples else None}


@side.command
async def paced(perSecond, seconds):
    one = operation("call", 1)
    total = round(perSecond * seconds)
    latencies = []
    sending = set()
    failures = []
    started = time.perf_counter() + 0.001

    async def send(due):
        await one()
        latencies.append((time.perf_counter() - due) * 1000)

    def ended(task):
        sending.discard(task)
        if task.exception() is not None:
            failures.append(task.exception())

    sent = 0
    too_slow = False
    while sent < total and not too_slow and not failures:
        now = time.perf_counter()
        while sent < total and started + sent / perSecond <= now:
            task = asyncio.ensure_future(send(started + sent / perSecond))
            sending.add(task)
            task.add_done_callback(ended)
            sent += 1
        too_slow = len(sending) > perSecond * MAX_BEHIND_SECONDS
        await asyncio.sleep(0)
    while sending:
        await asyncio.sleep(0)
    if failures:
        raise failures[0]
    if too_slow:
        return None
    latencies.sort()
    return {"p50": percentile(latencies, 50), "p99": percentile(latencies, 99), "p999": percentile(latencies, 99.9)}


@side.command
async def transfer(direction, bytes, inFlight, seconds):
    connection = connections[0]
    payload = pattern(bytes)
    expected = mark(payload)

    async def one():
        if direction == "upload":
            got = await connection.call("upload", data=payload)
        else:
            got = mark(await connection.call("download", length=bytes))
        if got != expected:
            raise ValueError(f"The {direction} of {bytes} bytes has mark {got}, not {expected}")

    messages, elapsed = await run_for(seconds, one, inFlight)
    return {"messages": messages, "seconds": elapsed}


@side.command
async def watch(signalPort, perTurn):
    await watcher.expect(len(connections) * perTurn, signalPort)
    for connection in connections:
        connection.news = watcher.received


@side.command
async def watched():
    return watcher.take()


side.run()
