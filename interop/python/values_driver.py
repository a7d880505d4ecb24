"""Packs and unpacks values with Python's msgpack for a test. Values travel in the form of msgpack/canonical.ts."""

import math
import struct

import msgpack
from driver import Driver

driver = Driver()


def canonical(value):
    """Describes a value so that two descriptions are alike only if the values are."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float):
        return ["float", "nan" if math.isnan(value) else struct.pack(">d", value).hex()]
    if isinstance(value, str):
        return ["str", value]
    if isinstance(value, bytes):
        return ["bin", value.hex()]
    if isinstance(value, msgpack.Timestamp):
        return ["time", str(value.seconds), value.nanoseconds]
    if isinstance(value, msgpack.ExtType):
        return ["ext", value.code, value.data.hex()]
    if isinstance(value, list):
        return ["list", *map(canonical, value)]
    return ["map", *([canonical(key), canonical(item)] for key, item in value.items())]


def described(form):
    """Reverts `canonical`."""
    if form is None or isinstance(form, bool):
        return form
    kind, *rest = form
    if kind == "int":
        return int(rest[0])
    if kind == "float":
        return math.nan if rest[0] == "nan" else struct.unpack(">d", bytes.fromhex(rest[0]))[0]
    if kind == "str":
        return rest[0]
    if kind == "bin":
        return bytes.fromhex(rest[0])
    if kind == "time":
        return msgpack.Timestamp(int(rest[0]), rest[1])
    if kind == "ext":
        return msgpack.ExtType(rest[0], bytes.fromhex(rest[1]))
    if kind == "list":
        return [described(item) for item in rest]
    return {described(key): described(item) for key, item in rest}


@driver.command
async def unpack(hex):
    """Returns what was read, and the same packed again."""
    value = msgpack.unpackb(bytes.fromhex(hex))
    return [canonical(value), msgpack.packb(value).hex()]


@driver.command
async def pack(form, single=False):
    return msgpack.packb(described(form), use_single_float=single).hex()


driver.run()
