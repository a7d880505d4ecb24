"""One side of a measurement in Python: the commands of lib/commands.ts over standard input and output.

`{id, command, args}` comes in, `{id, result}` or `{id, error}` goes out, one JSON object a line. The process ends when
standard input does.
"""

import asyncio
import json
import os
import resource
import sys
import threading
import traceback


class Side:
    def __init__(self):
        self._commands = {}
        self._tasks = set()

    def command(self, handler):
        """Registers a coroutine function as the command of its name, called with the arguments by name."""
        self._commands[handler.__name__] = handler
        return handler

    def run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        loop = asyncio.get_running_loop()

        def read():
            for line in sys.stdin.buffer:
                loop.call_soon_threadsafe(self._start, json.loads(line))
            os._exit(0)

        threading.Thread(target=read, daemon=True).start()
        self._write({"id": 0, "result": None})
        await asyncio.Event().wait()

    def _start(self, request):
        task = asyncio.ensure_future(self._answer(**request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, id, command, args):
        try:
            self._write({"id": id, "result": await self._commands[command](**(args or {}))})
        except Exception:
            self._write({"id": id, "error": traceback.format_exc()})

    def _write(self, message):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def add_process_commands(side):
    """The commands that both sides have."""

    @side.command
    async def cpu():
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {"cpuMs": (used.ru_utime + used.ru_stime) * 1000}


def mark(data):
    """As `mark` in lib/workload.ts."""
    length = len(data)
    if length == 0:
        return 0
    return length * 0x1000000 + (data[0] << 16 | data[length // 2] << 8 | data[-1])


# The bytes repeat after 256 rows of 256; each row is one more than the row before.
ROWS = b"".join(bytes((column * 31 + row) & 0xFF for column in range(256)) for row in range(256))


def pattern(length):
    """As `pattern` in lib/workload.ts."""
    return (ROWS * (length // len(ROWS) + 1))[:length]
