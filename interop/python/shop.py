"""The handlers that program.py calls. same-program/handlers.ts has the same ones in TypeScript."""

from conduit import Error, Response
from pydantic import BaseModel

response = Response()
error = Error()


class AddRequest(BaseModel):
    a: int
    b: int = 10


class Address(BaseModel):
    city: str


class UserRequest(BaseModel):
    name: str
    age: int | None = None
    address: Address


class FailRequest(BaseModel):
    how: str


def register(server):
    @server.rpc
    async def add(request: AddRequest) -> int:
        """Adds two numbers."""
        return request.a + request.b

    @server.rpc(name="users.create")
    async def create_user(request: UserRequest) -> dict:
        return response({"name": request.name, "age": request.age, "city": request.address.city})

    @server.rpc
    async def echo(value):
        return value

    @server.rpc
    async def nothing():
        return None

    @server.rpc
    async def wrapped(how: str):
        if how == "ok":
            return response.ok()
        if how == "message":
            return response.ok(message="User deleted")
        if how == "data":
            return response.ok(data=[1], message="One")
        if how == "metadata":
            return response([1, 2], metadata={"took": 3})
        if how == "page":
            return response.with_pagination(data=["c"], total=5, page=2, page_size=2)
        return {"success": "partly", "left": 3}

    @server.rpc
    async def fail(request: FailRequest):
        """Fails in the way it is asked to."""
        how = request.how
        if how == "plain":
            return error("Something went wrong")
        if how == "details":
            return error("Over the limit", code=402, details={"limit": 1000, "list": [1, None]})
        if how == "validation":
            return error.validation("Amount must be positive", field="amount", expected="number", received=-1)
        if how == "not_found":
            return error.not_found("User", identifier=7)
        if how == "permission_denied":
            return error.permission_denied("delete_user")
        if how == "internal":
            return error.internal()
        if how == "timeout":
            return error.timeout("payment_gateway")
        if how == "rate_limited":
            return error.rate_limited(retry_after=3)
        raise RuntimeError("the disk is full")

    @server.on("hello")
    async def hello(connection, data):
        return {"message": "Hello, " + data["name"] + "!"}

    @server.on("silent")
    async def silent(connection, data):
        return None

    @server.on("refused")
    async def refused(connection, data):
        return error.permission_denied("refused")

    @server.on("tell_all")
    async def tell_all(connection, data):
        await server.broadcast("news", data)
