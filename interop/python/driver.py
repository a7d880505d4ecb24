"""Code shared by both drivers: JSON lines in (commands) and out (replies, events), and values that JSON can't express.

A command is {"id", "do", ...arguments}; the reply is {"id", "result"} or {"id", "error"}. An event is {"event", ...}.
Commands run concurrently. The process exits when stdin closes, so no driver outlives its test.
"""

import asyncio
import base64
import inspect
import json
import logging
import os
import sys
import threading

import msgpack

LARGEST_EXACT = 2**53 - 1


def to_json(value):
    """Tags bytes, integers above 2^53, whole floats and timestamps, which JSON can't express."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_EXACT else {"$int": str(value)}
    if isinstance(value, float):
        return {"$float": repr(value)} if value.is_integer() else value
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, msgpack.Timestamp):
        return {"$date": value.to_unix_nano() // 1_000_000}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [to_json(item) for item in value]
    return {"$unknown": type(value).__name__}


def from_json(value):
    """Reverts `to_json`."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$int" in value:
        return int(value["$int"])
    if "$float" in value:
        return float(value["$float"])
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if "$date" in value:
        return msgpack.Timestamp.from_unix_nano(value["$date"] * 1_000_000)
    return {key: from_json(item) for key, item in value.items()}


class LogTail(logging.Handler):
    """netconduit's warnings and errors. It logs what its API doesn't report, such as why a login failed."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


class Driver:
    def __init__(self):
        self._commands = {}
        self._tasks = set()
        self.log = LogTail()
        logger = logging.getLogger("conduit")
        logger.addHandler(self.log)
        logger.propagate = False

    def command(self, handler):
        """Registers a coroutine function as a command under its name."""
        self._commands[handler.__name__] = handler
        return handler

    def emit(self, event, **fields):
        self._write({"event": event, **fields})

    def run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        loop = asyncio.get_running_loop()

        def read():
            for line in sys.stdin.buffer:
                loop.call_soon_threadsafe(self._start, json.loads(line))
            os._exit(0)

        threading.Thread(target=read, daemon=True).start()
        self.emit("ready")
        await asyncio.Event().wait()

    def _start(self, command):
        task = asyncio.ensure_future(self._answer(**command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, id, do, **arguments):
        try:
            result = self._commands[do](**from_json(arguments))
            if inspect.isawaitable(result):
                result = await result
            self._write({"id": id, "result": result})
        except Exception as error:
            facts = {name: getattr(error, name, None) for name in ("message", "code", "details")}
            facts["message"] = facts["message"] or str(error)
            self._write({"id": id, "error": {"type": type(error).__name__, **facts}})

    def _write(self, line):
        # A single write, so that lines don't interleave.
        sys.stdout.write(json.dumps(to_json(line)) + "\n")
        sys.stdout.flush()
