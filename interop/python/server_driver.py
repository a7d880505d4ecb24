"""Runs netconduit servers for a test. Each server has a name, and the handlers below or those of shop.py."""

import asyncio
import os
import socket

from conduit import Server, ServerDescriptor
from conduit.transfer.file_transfer import FileTransferHandler
from pydantic import BaseModel

import shop
from driver import Driver

driver = Driver()
servers = {}


class AddRequest(BaseModel):
    a: int
    b: int


def register(server, name):
    @server.rpc
    async def add(request: AddRequest) -> int:
        """Adds two numbers."""
        return request.a + request.b

    @server.rpc
    async def echo(value):
        driver.emit("echo", server=name, value=value)
        return value

    @server.rpc
    async def note(text: str):
        driver.emit("note", server=name, text=text)

    @server.rpc
    async def refuse():
        return server.error("Not today", code=3003, details={"weekday": "Monday"})

    @server.rpc
    async def fail():
        raise RuntimeError("the disk is full")

    @server.rpc
    async def never():
        driver.emit("never", server=name)
        # Blocks the read loop of this connection, so later messages aren't read.
        await asyncio.Event().wait()

    @server.on("hello")
    async def hello(connection, data):
        return {"message": "Hello, " + data["name"] + "!"}

    @server.on("who")
    async def who(connection, data):
        return {"id": connection.id}

    @server.on("echo")
    async def echo_message(connection, data):
        driver.emit("echo", server=name, value=data)
        return data

    counted = []

    @server.on("count")
    async def count(connection, data):
        counted.append(data["n"])
        if data["n"] == data["last"]:
            driver.emit("counted", server=name, numbers=counted)

    @server.on_client_connect
    async def connected(connection):
        await connection.send_message("welcome", {"id": connection.id})

    @server.on_client_disconnect
    async def disconnected(connection):
        driver.emit("disconnect", server=name, connection=connection.id)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@driver.command
async def start(server, options, handlers="driver"):
    """Starts a server and returns its port. netconduit rejects port 0, so this picks a free port, which may be taken by then."""
    for _ in range(20):
        port = free_port()
        made = Server(ServerDescriptor(**{"host": "127.0.0.1", "port": port, **options}))
        if handlers == "shop":
            shop.register(made)
        else:
            register(made, server)
        try:
            await made.start()
        except OSError:
            continue
        servers[server] = made
        return port
    raise RuntimeError("no free port found")


@driver.command
async def broadcast(server, type, data, exclude):
    return await servers[server].broadcast(type, data, exclude=set(exclude))


@driver.command
async def burst(server, type, count):
    for connection in servers[server].connections:
        for n in range(count):
            await connection.send_message(type, {"n": n})


@driver.command
async def traffic(server):
    """Byte counts of each connection."""
    every = [connection.stats for connection in servers[server].connections]
    return [{"received": stats.bytes_received, "sent": stats.bytes_sent} for stats in every]


@driver.command
async def heartbeat(server):
    """The heartbeat counters of each connection, which netconduit doesn't expose."""
    every = [(connection, connection._heartbeat.stats) for connection in servers[server].connections]
    return [
        {"connected": connection.is_connected, "sent": stats.pings_sent, "answered": stats.pongs_received}
        for connection, stats in every
    ]


@driver.command
async def serve_files(server, folder):
    """Lets clients use a folder. Reports each file that is complete."""
    transfer = FileTransferHandler(folder)
    transfer.register_server_handlers(servers[server])

    @transfer.on_file_received
    async def received(_, path, result):
        driver.emit("file_received", server=server, path=path, result=result)


@driver.command
async def push_file(server, path):
    """Sends a file to each client."""
    target = servers[server]
    transfer = FileTransferHandler(os.path.dirname(path))
    return [await transfer.send_to_client(target, connection.id, path) for connection in target.connections]


@driver.command
async def push_messages(server, messages):
    """Sends messages to each client, as a server with other names and numbers would."""
    for connection in servers[server].connections:
        for message in messages:
            await connection.send_message(message["type"], message["data"])


@driver.command
async def stop(server):
    stopped = servers.pop(server)
    # Server.stop() holds a lock that each closing connection waits for, so it would hang with open connections.
    for connection in stopped.connections:
        await connection.stop()
    await stopped.stop()


@driver.command
async def log():
    return driver.log.lines


driver.run()
