"""Runs netconduit clients for a test. Each client has a name."""

import asyncio
import contextlib
import os

from conduit import Client, ClientDescriptor
from conduit.streaming import StreamManager
from conduit.transfer.file_transfer import FileTransferHandler

from driver import Driver

driver = Driver()
clients = {}
tasks = set()


def make(options):
    return Client(ClientDescriptor(**{"server_host": "127.0.0.1", "reconnect_enabled": False, **options}))


@driver.command
async def connect(client, options, on=()):
    """Connects. Reports messages of the types in `on` as the event `message`."""
    made = make(options)

    def listen(message_type):
        @made.on(message_type)
        async def report(data):
            driver.emit("message", client=client, type=message_type, data=data)

    for message_type in on:
        listen(message_type)

    @made.on_disconnect
    async def disconnected(_):
        driver.emit("disconnect", client=client)

    @made.on_reconnect
    async def reconnected(_):
        driver.emit("reconnect", client=client)

    logged = len(driver.log.lines)
    connected = await made.connect()
    if connected:
        clients[client] = made
    return {"connected": connected, "log": driver.log.lines[logged:], "server_info": made.health()["server_info"]}


@driver.command
async def send(client, type, data):
    await clients[client].send(type, data)


@driver.command
async def burst(client, type, count):
    for n in range(count):
        await clients[client].send(type, {"n": n})


@driver.command
async def call(client, method, params):
    return await clients[client].rpc.call(method, args=params)


@driver.command
async def call_no_wait(client, method, params):
    await clients[client].rpc.call_no_wait(method, args=params)


@driver.command
async def iterate_stream(client, stream):
    """Subscribes as netconduit's StreamManager does. Reports what its loop yields, and its end."""
    manager = StreamManager(owner=client)
    manager.register_client_handlers(clients[client])

    async def iterate():
        async for item in manager.subscribe(stream):
            driver.emit("stream_item", client=client, data=item)
        driver.emit("stream_end", client=client)

    task = asyncio.create_task(iterate())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    # It drops what arrives before it has made its own stream.
    while manager.get(stream) is None:
        await asyncio.sleep(0.01)


@driver.command
async def upload_file(client, path):
    return await FileTransferHandler(os.path.dirname(path)).send_to_server(clients[client], path)


@driver.command
async def download_file(client, name, folder):
    return await FileTransferHandler(folder).receive_from_server(clients[client], name, folder)


@driver.command
async def receive_files(client, folder):
    """Takes files that the server pushes. Reports each that is complete."""
    transfer = FileTransferHandler(folder)
    transfer.register_client_handlers(clients[client])

    @transfer.on_file_received
    async def received(path, result):
        driver.emit("file_received", client=client, path=path, result=result)


@driver.command
async def discover(client):
    return await clients[client].rpc.discover()


@driver.command
async def logins(options, count, at_once):
    """Logs in `count` times, `at_once` at a time. Returns the number of logins and the welcomes that arrived."""
    gate = asyncio.Semaphore(at_once)
    connected = []
    welcomes = []

    async def login():
        """Logs in. Returns whether its welcome can still arrive."""
        client = make(options)
        welcome = asyncio.Event()

        @client.on("welcome")
        async def welcomed(data):
            welcomes.append(data["id"])
            welcome.set()

        if not await client.connect():
            return True
        # netconduit discards bytes that it reads together with AUTH_SUCCESS. Servers therefore wait briefly, but a busy
        # machine may keep this process from reading for longer.
        lost = len(client._decoder._buffer) > 0
        if not lost:
            connected.append(client)
            # Bounds the wait for a welcome that was lost.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(welcome.wait(), timeout=20)
        await client.disconnect()
        return not lost

    async def patient_login():
        async with gate:
            for _ in range(20):
                if await login():
                    return

    await asyncio.gather(*(patient_login() for _ in range(count)))
    return {"logins": len(connected), "welcomes": len(welcomes), "different": len(set(welcomes))}


@driver.command
async def heartbeat(client):
    """The heartbeat counters, which netconduit doesn't expose."""
    stats = clients[client]._connection._heartbeat.stats
    return {"connected": clients[client].is_connected, "sent": stats.pings_sent, "answered": stats.pongs_received}


@driver.command
async def log():
    return driver.log.lines


@driver.command
async def disconnect(client):
    await clients.pop(client).disconnect()


@driver.command
async def disconnect_all():
    for name in list(clients):
        await disconnect(name)
    driver.log.lines.clear()


driver.run()
