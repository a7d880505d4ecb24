import { error, response } from "@netconduit/core";
import * as v from "valibot";
import type { OpenServer } from "../../conformance/support/subject.ts";

const integer = v.pipe(v.number(), v.integer());

/** The handlers of python/shop.py. */
export function withShop(server: OpenServer): void {
  const Add = v.object({ a: integer, b: v.optional(integer, 10) });
  server.rpc({ name: "add", description: "Adds two numbers.", params: Add, result: integer }, ({ a, b }) => a + b);

  const User = v.object({
    name: v.string(),
    age: v.optional(v.nullable(integer), null),
    address: v.object({ city: v.string() }),
  });
  const created = v.looseObject({});
  server.rpc({ name: "users.create", params: User, result: created }, ({ name, age, address }) =>
    response({ name, age, city: address.city }),
  );

  server.rpc("echo", ({ value }) => value);
  server.rpc("nothing", () => null);

  server.rpc("wrapped", v.object({ how: v.string() }), ({ how }) => {
    switch (how) {
      case "ok":
        return response.ok();
      case "message":
        return response.ok({ message: "User deleted" });
      case "data":
        return response.ok({ data: [1], message: "One" });
      case "metadata":
        return response([1, 2], { took: 3 });
      case "page":
        return response.withPagination({ data: ["c"], total: 5, page: 2, pageSize: 2 });
      default:
        return { success: "partly", left: 3 };
    }
  });

  const Fail = v.object({ how: v.string() });
  const description = "Fails in the way it is asked to.";
  server.rpc({ name: "fail", description, params: Fail }, ({ how }) => {
    switch (how) {
      case "plain":
        return error("Something went wrong");
      case "details":
        return error("Over the limit", { code: 402, details: { limit: 1000, list: [1, null] } });
      case "validation":
        return error.validation("Amount must be positive", { field: "amount", expected: "number", received: -1 });
      case "not_found":
        return error.notFound("User", { identifier: 7 });
      case "permission_denied":
        throw error.permissionDenied("delete_user");
      case "internal":
        return error.internal();
      case "timeout":
        throw error.timeout("payment_gateway");
      case "rate_limited":
        return error.rateLimited({ retryAfterSeconds: 3 });
      default:
        throw new Error("the disk is full");
    }
  });

  server.on("hello", v.object({ name: v.string() }), (_, { name }) => ({ message: `Hello, ${name}!` }));
  server.on("silent", () => null);
  server.on("refused", () => error.permissionDenied("refused"));
  server.on("tell_all", (_, data) => {
    server.broadcast("news", data);
  });
}
