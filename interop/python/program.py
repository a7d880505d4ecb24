"""A netconduit client as an application would write it. Its output is compared between servers.

    python program.py PORT PASSWORD
"""

import asyncio
import sys

from conduit import Client, ClientDescriptor, data
from conduit.response.error import ErrorCode

port, password = int(sys.argv[1]), sys.argv[2]

client = Client(
    ClientDescriptor(
        server_host="127.0.0.1", server_port=port, password=password, name="program", reconnect_enabled=False
    )
)
arrived = asyncio.Queue()

for message_type in ("hello_response", "silent_response", "refused_response", "tell_all_response", "news"):

    def listen(message_type):
        @client.on(message_type)
        async def handler(content):
            await arrived.put((message_type, content))

    listen(message_type)


async def show(method, **params):
    """Prints all of a result, and what programs read from it."""
    try:
        result = await client.rpc.call(method, args=data(**params))
    except Exception as failure:
        print(method, params, "raised", type(failure).__name__, failure)
        return None
    print(method, params, result)
    if isinstance(result, dict) and result.get("success") is True and "data" in result:
        print("  data:", type(result["data"]).__name__, result["data"])
    return result


async def main():
    print("connected:", await client.connect())
    print("health:", client.health())

    for params in ({"a": 1, "b": 2}, {"a": 1}):
        await show("add", **params)
    for value in (None, True, 7, -7, 2**53 + 1, 2**64 - 1, 1.5, "text", "日本語", b"\x00\xff", [], [1, [None]], {}):
        await show("echo", value=value)
    await show("echo", value={"nested": {"list": [1, 2.5, "x"], "none": None}})
    await show("nothing")
    await show("users.create", name="Ada", address={"city": "London"})
    await show("users.create", name="Ada", age=36, address={"city": "London"})
    for how in ("ok", "message", "data", "metadata", "page", "own"):
        await show("wrapped", how=how)

    for how in (
        "plain",
        "details",
        "validation",
        "not_found",
        "permission_denied",
        "internal",
        "timeout",
        "rate_limited",
    ):
        result = await show("fail", how=how)
        code = result.get("code")
        print("  code:", ErrorCode(code).name if code in set(ErrorCode) else code)

    # The server in Python sends the text of an exception; the code is the same.
    result = await client.rpc.call("fail", how="crash")
    print("crash:", result["success"], ErrorCode(result["code"]).name, sorted(result))

    await show("missing")
    await show("add")
    await show("users.create", name="Ada", address={})
    # The texts and types of invalid values are the schema library's own.
    result = await client.rpc.call("users.create", args=data(name=7, age="old", address={"city": 1}))
    print("invalid:", result["success"], result["error"], result["code"], sorted(result), sorted(result["details"]))
    for invalid in result["details"]["errors"]:
        print("  field:", invalid["field"], sorted(invalid))

    print("discovery:")
    discovered = await client.rpc.discover()
    print(" ", sorted(discovered), discovered["success"], discovered["data"]["count"])
    for method in discovered["data"]["methods"]:
        # An object schema has no name; a nested model has that of its class.
        types = {name: "dict" if type == "Address" else type for name, type in method["parameters"].items()}
        print(" ", {**method, "parameters": types})

    print("gathered:", await asyncio.gather(*(client.rpc.call("add", a=n, b=n) for n in range(5))))
    await client.rpc.call_no_wait("add", args=data(a=1, b=1))

    await client.send("silent", None)
    await client.send("refused", {})
    await client.send("hello", {"name": "Ada"})
    await client.send("unknown", 1)
    await client.send("tell_all", {"text": "all"})
    await client.send("hello", {"name": "Grace"})
    for _ in range(4):
        print("message:", await asyncio.wait_for(arrived.get(), 30))

    await client.disconnect()
    print("disconnected:", client.is_connected, client.state.name, arrived.empty())


asyncio.run(main())
