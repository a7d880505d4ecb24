import { type ConduitError, ErrorCode, type Middleware, RpcError } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

/** Returns middleware that logs its start and end. */
function noting(log: EventLog<string>, name: string): Middleware<unknown, unknown, Promise<unknown>> {
  return async (_context, next) => {
    log.add(`${name} begins`);
    try {
      return await next();
    } finally {
      log.add(`${name} ends`);
    }
  };
}

/** Middleware around handlers and hooks: order, results, errors, fields, groups. */
export function describeMiddleware(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`middleware on ${subject.name}`, PATIENT, () => {
    test(
      "middlewares run around a handler in their order, the first outermost",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<string>();
        server.use(noting(log, "outer"));
        server.use(noting(log, "inner"));
        server.rpc("work", () => {
          log.add("handler");
          return "done";
        });
        const client = await stage.join(server);
        expect(await client.call("work")).toBe("done");
        expect(log.all).toEqual(["outer begins", "inner begins", "handler", "inner ends", "outer ends"]);
      }),
    );

    test(
      "a middleware runs around what is registered after it, and nothing else",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<string>();
        server.rpc("before", () => 1);
        server.use(noting(log, "m"));
        server.rpc("after", () => 2);
        const client = await stage.join(server);
        await client.call("before");
        expect(log.all).toEqual([]);
        await client.call("after");
        expect(log.all).toEqual(["m begins", "m ends"]);
      }),
    );

    test(
      "what a middleware returns is the result, and the result's schema checks it",
      staged(async (stage) => {
        const server = await stage.listen();
        let given: unknown = 5;
        server.use(async (_context, next) => {
          await next();
          return given;
        });
        server.rpc({ name: "count", result: v.number() }, () => 1);
        const client = await stage.join(server);
        expect(await client.call("count")).toBe(5);
        given = "five";
        expect(await failureOf(client.call("count"))).toMatchObject({ code: ErrorCode.INTERNAL });
      }),
    );

    test(
      "a middleware that forgets to return what next() gave gets an error, unless nobody waits for a result",
      staged(async (stage) => {
        const server = await stage.listen();
        const heard = new EventLog<string>();
        server.onError((error) => heard.add(`${(error as ConduitError).codeName}: ${error.message}`));
        server.use(async (_context, next) => {
          await next();
        });
        server.rpc("add", async () => 3);
        server.rpc("nothing", async () => undefined);
        server.on("note", (_client, text) => text);
        const client = await stage.join(server);
        expect(await client.call("nothing")).toBeNull();
        client.send("note", "nobody waits");
        expect(await failureOf(client.call("add"))).toMatchObject({ code: ErrorCode.INTERNAL });
        expect(await failureOf(client.request("note", "a reply"))).toMatchObject({ code: ErrorCode.INTERNAL });
        const advice = 'dropped the result: it should "return await next()", or else null';
        expect(heard.all).toEqual([
          `INVALID_STATE: A middleware of 'add' ${advice}`,
          `INVALID_STATE: A middleware of 'note' ${advice}`,
        ]);
      }),
    );

    test(
      "what a middleware gives to next() must be an object of fields",
      staged(async (stage) => {
        const server = await stage.listen();
        const heard = new EventLog<string>();
        server.onError((error) => heard.add(error.message));
        server.use((_context, next) => next("ada" as never));
        server.rpc("add", () => 3);
        const client = await stage.join(server);
        expect(await failureOf(client.call("add"))).toMatchObject({ code: ErrorCode.INTERNAL });
        expect(heard.all).toEqual([`A middleware of 'add' gave next() "ada": it takes an object of fields`]);
      }),
    );

    test(
      "a middleware that doesn't call next() keeps the handler from running",
      staged(async (stage) => {
        const server = await stage.listen();
        let runs = 0;
        server.use(() => "from the cache");
        server.rpc("load", () => {
          runs += 1;
        });
        const client = await stage.join(server);
        expect(await client.call("load")).toBe("from the cache");
        expect(runs).toBe(0);
      }),
    );

    test(
      "an RpcError of a middleware reaches the caller with its code",
      staged(async (stage) => {
        const server = await stage.listen();
        server.use(() => {
          throw new RpcError(ErrorCode.PERMISSION_DENIED, "not today");
        });
        server.rpc("load", () => 1);
        const client = await stage.join(server);
        expect(await failureOf(client.call("load"))).toMatchObject({
          code: ErrorCode.PERMISSION_DENIED,
          message: "not today",
        });
      }),
    );

    test(
      "a handler's error passes through the middlewares, which may replace it by a result",
      staged(async (stage) => {
        const server = await stage.listen();
        server.use(async (_context, next) => {
          try {
            return await next();
          } catch (error) {
            return `caught: ${(error as Error).message}`;
          }
        });
        server.rpc("fail", () => {
          throw new RpcError(ErrorCode.NOT_FOUND, "no such row");
        });
        const client = await stage.join(server);
        expect(await client.call("fail")).toBe("caught: no such row");
      }),
    );

    test(
      "invalid parameters are refused inside the middlewares, which see them as they arrived",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<unknown>();
        server.use(async (context, next) => {
          if (context.kind === "call") log.add(context.value);
          return await next();
        });
        server.rpc("add", v.object({ a: v.number() }), ({ a }) => a);
        const client = await stage.join(server);
        expect(await failureOf(client.call("add", { a: "one" }))).toMatchObject({ code: ErrorCode.INVALID_TYPE });
        expect(log.all).toEqual([{ a: "one" }]);
      }),
    );

    test(
      "next() called twice rejects with INVALID_STATE, and the handler runs once",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<unknown>();
        let runs = 0;
        server.use(async (_context, next) => {
          await next();
          log.add(await failureOf(next()));
        });
        server.rpc("work", () => {
          runs += 1;
        });
        const client = await stage.join(server);
        await client.call("work");
        expect(log.all).toMatchObject([{ code: ErrorCode.INVALID_STATE }]);
        expect(runs).toBe(1);
      }),
    );

    test(
      "fields that middlewares give to next() add up in the context of what comes after",
      staged(async (stage) => {
        const server = await stage.listen();
        const app = server
          .use(async (_context, next) => await next({ user: { name: "ada" } }))
          .use(async ({ user }, next) => await next({ greeting: `hello ${user.name}` }));
        app.rpc("greet", (_params, context) => [context.user.name, context.greeting, context.method]);
        app.on("greet", (_client, _data, context) => context.greeting);
        const client = await stage.join(server);
        expect(await client.call("greet")).toEqual(["ada", "hello ada", "greet"]);
        expect(await client.request("greet")).toBe("hello ada");
      }),
    );

    test(
      "a field that the context has already is refused with INVALID_CONFIG; one of an earlier middleware is replaced",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<unknown>();
        server.use(async (_context, next) => {
          log.add(await failureOf(next({ method: "other" })));
          return "refused";
        });
        server.rpc("clash", () => 1);
        const fresh = stage.server();
        const app = fresh
          .use(async (_context, next) => await next({ level: 1 }))
          .use(async ({ level }, next) => await next({ level: level + 1 }));
        app.rpc("level", (_params, { level }) => level);
        await fresh.start();
        const client = await stage.join(server);
        expect(await client.call("clash")).toBe("refused");
        expect(log.all).toMatchObject([{ code: ErrorCode.INVALID_CONFIG }]);
        const other = await stage.join(fresh);
        expect(await other.call("level")).toBe(2);
      }),
    );

    test(
      "a group has its server's middleware and its own, which others don't get",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<string>();
        server.use(noting(log, "server"));
        const admin = server.group().use(noting(log, "admin"));
        admin.rpc("purge", () => 1);
        server.rpc("read", () => 2);
        const client = await stage.join(server);
        await client.call("purge");
        expect(log.all).toEqual(["server begins", "admin begins", "admin ends", "server ends"]);
        await client.call("read");
        expect(log.all.slice(4)).toEqual(["server begins", "server ends"]);
      }),
    );

    test(
      "around a stream, next() resolves when the stream has ended",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<string>();
        server.use(async (context, next) => {
          log.add(context.kind);
          await next();
          log.add("ended");
        });
        server.stream("count", async function* () {
          yield 1;
          log.add("yielded");
          yield 2;
        });
        const client = await stage.join(server);
        const items: unknown[] = [];
        for await (const item of client.stream("count")) items.push(item);
        expect(items).toEqual([1, 2]);
        await log.count(3);
        expect(log.all).toEqual(["stream", "yielded", "ended"]);
      }),
    );

    test(
      "middlewares run around each handler of a message",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<string>();
        server.use(async (context, next) => {
          log.add(`${context.kind} ${context.method}`);
          return await next();
        });
        server.on("note", () => log.add("one"));
        server.on("note", () => log.add("two"));
        const client = await stage.join(server);
        await client.request("note");
        expect(log.all).toEqual(["message note", "one", "message note", "two"]);
      }),
    );

    test(
      "a middleware adds its fields for each handler of a message",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<unknown>();
        const app = server
          .use(async (_context, next) => await next({ user: "ada" }))
          .use(async ({ user }, next) => await next({ user: user.toUpperCase() }));
        app.on("note", (_client, _data, { user }) => log.add(["one", user]));
        app.group().on("note", (_client, _data, { user }) => log.add(["two", user]));
        const client = await stage.join(server);
        await client.request("note");
        expect(log.all).toEqual([
          ["one", "ADA"],
          ["two", "ADA"],
        ]);
      }),
    );

    test(
      "a hook that takes a connection runs inside the middlewares, which can refuse the client",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<string>();
        server.use(async (context, next) => {
          log.add(`${context.kind} ${context.method}`);
          if (context.client.info.name === "unwanted") throw new RpcError(ErrorCode.PERMISSION_DENIED, "unwanted");
          return await next();
        });
        server.onClientConnect(() => log.add("hook"));
        await stage.join(server, { name: "welcome" });
        expect(log.all).toEqual(["hook onClientConnect", "hook"]);
        const refused = stage.client(server, { name: "unwanted" });
        expect(await failureOf(refused.connect())).toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
        expect(log.all.slice(2)).toEqual(["hook onClientConnect"]);
      }),
    );

    test(
      "a client's group runs its middleware around what the server calls",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        const app = client.group().use(async (_context, next) => await next({ answer: 42 }));
        app.rpc("ask", (_params, { answer }) => answer);
        app.on("ask", (data, { answer }) => [data, answer]);
        const connection = connectionOf(server, client);
        expect(await connection.call("ask")).toBe(42);
        expect(await connection.request("ask", "?")).toEqual(["?", 42]);
      }),
    );

    test(
      "a call that was cancelled while a middleware waited doesn't start its handler",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<unknown>();
        let runs = 0;
        server.use(async (context, next) => {
          if (context.kind !== "call") return await next();
          log.add("waiting");
          await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve()));
          const failure = await failureOf(next());
          log.add(failure);
          throw failure;
        });
        server.rpc("work", () => {
          runs += 1;
        });
        const client = await stage.join(server);
        const controller = new AbortController();
        const call = client.call("work", {}, { signal: controller.signal });
        await log.count(1);
        controller.abort();
        expect(await failureOf(call)).toMatchObject({ code: ErrorCode.CANCELLED });
        expect((await log.count(2))[1]).toMatchObject({ code: ErrorCode.CANCELLED });
        expect(runs).toBe(0);
      }),
    );

    test(
      "a client's middleware runs around its calls and requests, and adds metadata to all that it sends",
      staged(async (stage) => {
        const server = await stage.listen();
        const got = new EventLog<unknown>();
        server.rpc("work", (_params, { meta }) => {
          got.add(meta);
          return "done";
        });
        server.on("note", (_client, _data, { meta }) => {
          got.add(meta);
          return "noted";
        });
        server.stream("items", async function* (_params, { meta }) {
          yield meta;
        });
        const client = await stage.join(server);
        const kinds = new EventLog<unknown>();
        client.use(async (context, next) => {
          context.meta["trace"] = "7";
          const result = await next();
          kinds.add([context.kind, context.method, typeof result === "string" ? result : null]);
          return result;
        });
        const meta = { trace: "7" };
        expect(await client.call("work")).toBe("done");
        expect(await client.request("note")).toBe("noted");
        expect(await client.api["work"]?.()).toBe("done");
        expect(client.send("note")).toBe(true);
        expect(client.callNoWait("work", {}, { meta: { more: "8" } })).toBe(true);
        expect(await got.count(5)).toEqual([meta, meta, meta, meta, { trace: "7", more: "8" }]);
        for await (const item of client.stream("items")) expect(item).toEqual(meta);
        expect(await kinds.count(6)).toEqual([
          ["call", "work", "done"],
          ["request", "note", "noted"],
          ["call", "work", "done"],
          ["message", "note", null],
          ["call", "work", null],
          ["stream", "items", null],
        ]);
      }),
    );

    test(
      "a client's middleware may try a call again, and answer it by itself",
      staged(async (stage) => {
        const server = await stage.listen();
        let attempts = 0;
        server.rpc("flaky", () => {
          attempts += 1;
          if (attempts < 3) throw new RpcError(ErrorCode.RATE_LIMITED, "not yet");
          return attempts;
        });
        const client = await stage.join(server);
        client.use(async ({ method }, next) => {
          if (method === "cached") return "from the cache";
          for (;;) {
            try {
              return await next();
            } catch (error) {
              if ((error as RpcError).code !== ErrorCode.RATE_LIMITED) throw error;
            }
          }
        });
        expect(await client.call("flaky")).toBe(3);
        expect(await client.call("cached")).toBe("from the cache");
      }),
    );

    test(
      "a call with an input isn't tried again, because its input was read",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc({ name: "sum", input: true }, () => {
          throw new RpcError(ErrorCode.RATE_LIMITED, "not yet");
        });
        const client = await stage.join(server);
        client.use(async (_context, next) => {
          await failureOf(next());
          return await next();
        });
        expect(await failureOf(client.call("sum", {}, { input: [1] }))).toMatchObject({
          code: ErrorCode.INVALID_STATE,
        });
      }),
    );

    test(
      "a message whose middleware waits before next() isn't sent, which is reported",
      staged(async (stage) => {
        const server = await stage.listen();
        let heard = 0;
        server.on("note", () => {
          heard += 1;
        });
        const client = await stage.join(server);
        const errors = new EventLog<unknown>();
        client.onError((error) => errors.add(error));
        client.use(() => Promise.reject(new RpcError(ErrorCode.PERMISSION_DENIED, "no")));
        const refused = expect.objectContaining({ code: ErrorCode.INVALID_STATE });
        expect(() => client.send("note")).toThrow(refused);
        expect(() => client.callNoWait("note")).toThrow(refused);
        const reading = client.stream("note")[Symbol.asyncIterator]().next();
        expect(await failureOf(reading)).toMatchObject({ code: ErrorCode.INVALID_STATE });
        expect(await errors.count(3)).toMatchObject(Array(3).fill({ code: ErrorCode.PERMISSION_DENIED }));
        expect(heard).toBe(0);
      }),
    );

    test(
      "a client's middleware that forgets to return what next() gave gets an error",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("add", () => 3);
        const client = await stage.join(server);
        client.use(async (_context, next) => {
          await next();
        });
        expect(await failureOf(client.call("add"))).toMatchObject({
          code: ErrorCode.INVALID_STATE,
          message: `A middleware of 'add' dropped the result: it should "return await next()", or else null`,
        });
      }),
    );

    test(
      "use() of anything but a function is refused with INVALID_CONFIG",
      staged(async (stage) => {
        const server = await stage.listen();
        expect(() => server.use("logger" as never)).toThrow(
          expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }),
        );
      }),
    );
  });
}
