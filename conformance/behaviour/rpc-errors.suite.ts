import { ErrorCode, error, RpcError } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { fileScene } from "./file-scene.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

/** Errors returned or thrown by handlers, as seen by callers. */
export function describeRpcErrors(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`errors of RPC on ${subject.name}`, PATIENT, () => {
    test(
      "name in their stack the function that awaited the call, request or connect()",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("fail", () => error("no"));
        const client = await stage.join(server);
        const stranger = stage.client(server, { password: "wrong" });
        const awaiting = {
          call: async function awaitsCall() {
            await client.call("fail");
          },
          api: async function awaitsApi() {
            await client.api.fail?.();
          },
          request: async function awaitsRequest() {
            await client.request("unknown");
          },
          connect: async function awaitsConnect() {
            await stranger.connect();
          },
        };
        const stacks: (string | undefined)[] = [];
        for (const run of Object.values(awaiting)) stacks.push((await failureOf(run())).stack);
        const expected = ["awaitsCall", "awaitsApi", "awaitsRequest", "awaitsConnect"];
        expect(stacks).toEqual(expected.map((name) => expect.stringMatching(new RegExp(`at (async )?${name} `))));
      }),
    );

    test(
      "name in their stack the function that awaited a stream, a file, a topic, an acknowledgement, a pool or start()",
      staged(async (stage) => {
        const { server, client, box } = await fileScene(stage);
        server.topic("news");
        server.stream("fail", async function* () {
          yield 1;
          throw new Error("no");
        });
        const pool = stage.pool([server]);
        await pool.connect();
        const second = stage.server({ port: server.address.port });
        const bytes = new Uint8Array(1);
        const operations: Record<string, () => Promise<unknown>> = {
          stream: () => lastOf(client.stream("fail")),
          unknownStream: () => lastOf(client.stream("unknown")),
          streamOption: () => lastOf(client.stream("fail", {}, { timeout: 1 } as object)),
          poolStream: () => lastOf(pool.stream("unknown")),
          upload: () => client.files("unknown").upload(bytes, { name: "a" }),
          resumed: () => client.files("unknown").upload(bytes, { name: "a", resume: true }),
          download: () => box.download("unknown", "/nowhere/"),
          bytes: () => box.bytes("unknown"),
          list: () => client.files("unknown").list(),
          stat: () => box.stat("unknown"),
          remove: () => box.remove("unknown"),
          poolFiles: () => pool.files("box").stat("unknown"),
          subscription: () => lastOf(client.subscribe("unknown")),
          ready: () => client.subscribe("unknown").ready,
          poolReady: () => pool.subscribe("unknown").ready,
          publish: () => client.publish("news", 1),
          acknowledged: () => client.send("unknown", 1, { ack: true }),
          start: () => second.start(),
        };
        const unnamed: string[] = [];
        for (const [name, operation] of Object.entries(operations)) {
          const failure = await failureOf(awaitsOperation(operation));
          if (!/at (async )?awaitsOperation /.test(failure.stack ?? "")) unnamed.push(`${name}: ${failure.stack}`);
        }
        expect(unnamed).toEqual([]);
      }),
    );

    test(
      "name in their stack the function that sent what can't be sent, however deep in the data that is",
      staged(async (stage) => {
        const server = await stage.listen();
        const topic = server.topic("news");
        const client = await stage.join(server);
        const pool = stage.pool([server]);
        await pool.connect();
        const data = { a: [{ b: { c: { d: [() => 1] } } }] };
        const operations: Record<string, () => unknown> = {
          send: () => client.send("x", data),
          callNoWait: () => client.callNoWait("x", data),
          poolSend: () => pool.send("x", data),
          poolBroadcast: () => pool.broadcast("x", data),
          broadcast: () => server.broadcast("x", data),
          publish: () => topic.publish(data),
        };
        const failures = Object.entries(operations).map(([name, operation]) => {
          const { message, stack = "" } = failureBy(operation);
          return [name, message.slice(0, message.indexOf(":")), /at (async )?failureBy /.test(stack)];
        });
        const pathOf = (name: string): string =>
          `Cannot encode ${name === "callNoWait" ? "params" : "data"}.a[0].b.c.d[0]`;
        expect(failures).toEqual(Object.keys(operations).map((name) => [name, pathOf(name), true]));
      }),
    );

    const cases = [
      ["error", () => error("Division by zero", { code: 400 }), 400, "Division by zero", undefined],
      ["error without a code", () => error("Something"), ErrorCode.UNKNOWN, "Something", undefined],
      [
        "error.validation",
        () =>
          error.validation("Amount must be positive", { field: "amount", expected: "positive number", received: -5 }),
        ErrorCode.VALIDATION,
        "Amount must be positive",
        { field: "amount", expected: "positive number", received: "-5" },
      ],
      [
        "error.notFound",
        () => error.notFound("User", { identifier: 7 }),
        ErrorCode.NOT_FOUND,
        "User not found: 7",
        undefined,
      ],
      [
        "error.permissionDenied",
        () => error.permissionDenied("delete_user"),
        ErrorCode.PERMISSION_DENIED,
        "Permission denied: delete_user",
        undefined,
      ],
      [
        "error.internal",
        () => error.internal({ details: { reason: "disk full" } }),
        ErrorCode.INTERNAL,
        "Internal server error",
        { reason: "disk full" },
      ],
      [
        "error.timeout",
        () => error.timeout("payment_gateway"),
        ErrorCode.TIMEOUT,
        "Operation timed out: payment_gateway",
        undefined,
      ],
      [
        "error.rateLimited",
        () => error.rateLimited({ retryAfterSeconds: 2.5 }),
        ErrorCode.RATE_LIMITED,
        "Rate limit exceeded",
        { retry_after: 2.5 },
      ],
    ] as const;

    for (const [name, make, code, text, details] of cases) {
      for (const [how, handler] of [
        ["returned", () => make()],
        [
          "thrown",
          () => {
            throw make();
          },
        ],
        ["resolved with", async () => make()],
        [
          "rejected with",
          async () => {
            throw make();
          },
        ],
      ] as const) {
        test(
          `${name}, ${how}, reaches the caller as an RpcError with code, message and details`,
          staged(async (stage) => {
            const server = await stage.listen();
            server.rpc("fail", handler);
            const client = await stage.join(server);
            const failure = await failureOf(client.call("fail"));
            expect(failure).toBeInstanceOf(RpcError);
            expect({ code: failure.code, message: failure.message, details: failure.details }).toEqual({
              code,
              message: text,
              details,
            });
          }),
        );
      }
    }

    test(
      "an RpcError is a reply, not a fault: onError isn't called",
      staged(async (stage) => {
        const server = await stage.listen();
        const errors = new EventLog<Error>();
        server.onError(errors.add);
        server.rpc("fail", () => {
          throw error.notFound("User");
        });
        const client = await stage.join(server);
        await failureOf(client.call("fail"));
        expect(errors.all).toEqual([]);
      }),
    );

    test(
      "every code arrives as it was sent, in both directions, codes of the application's own included",
      staged(async (stage) => {
        const server = await stage.listen();
        const fail = ({ code }: Record<string, unknown>) => error(`Code ${String(code)}`, { code: Number(code) });
        server.rpc("fail", fail);
        const client = await stage.join(server);
        client.rpc("fail", fail);
        for (const code of [...Object.values(ErrorCode), 1, 999, 9000]) {
          for (const caller of [client, connectionOf(server, client)]) {
            const failure = await failureOf(caller.call("fail", { code }));
            expect(failure).toMatchObject({ code, message: `Code ${code}` });
          }
        }
      }),
    );

    test(
      "details may be any value",
      staged(async (stage) => {
        const server = await stage.listen();
        const details = { at: new Date(5), raw: Uint8Array.of(1, 2), large: 2n ** 63n, list: [{ ключ: "значение" }] };
        server.rpc("fail", () => error("With details", { code: 500, details }));
        const client = await stage.join(server);
        expect((await failureOf(client.call("fail"))).details).toEqual(details);
      }),
    );

    test(
      "details that cannot be sent are left out of the answer",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("fail", () => error("Nope", { code: 400, details: { why: () => {} } }));
        const client = await stage.join(server);
        const failure = await failureOf(client.call("fail"));
        expect(failure).toMatchObject({ code: 400, message: "Nope", details: undefined });
      }),
    );

    for (const [kind, handler] of [
      [
        "thrown at once",
        () => {
          throw new Error("password of db is hunter2", { cause: new Error("cause") });
        },
      ],
      ["thrown later", () => Promise.reject(new Error("password of db is hunter2"))],
    ] as const) {
      test(
        `the text of an exception, ${kind}, stays on the server: the caller gets INTERNAL, onError the exception`,
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new EventLog<{ error: Error; stage: string; name?: string; clientId: string | undefined }>();
          server.onError((error, { stage, name, client }) =>
            errors.add({ error, stage, ...(name === undefined ? {} : { name }), clientId: client?.id }),
          );
          server.rpc("fail", handler);
          const client = await stage.join(server);
          const failure = await failureOf(client.call("fail"));
          expect(failure).toMatchObject({ code: 1001, message: "Internal server error" });
          expect(Object.keys(failure.details ?? {})).toEqual(["failure_id"]);
          const reported = await errors.next();
          expect(reported.error.message).toBe("password of db is hunter2");
          expect(reported).toMatchObject({ stage: "rpc", name: "fail", clientId: server.connections[0]?.id });
        }),
      );
    }

    test(
      "exposeErrors sends the text of an exception, on either end",
      staged(async (stage) => {
        const fail = (): never => {
          throw new TypeError("x is not a function");
        };
        const server = await stage.listen({ exposeErrors: true });
        server.rpc("fail", fail);
        const client = await stage.join(server, { exposeErrors: true });
        client.rpc("fail", fail);
        for (const caller of [client, connectionOf(server, client)]) {
          const failure = await failureOf(caller.call("fail"));
          expect(failure).toMatchObject({ code: ErrorCode.INTERNAL, message: "x is not a function" });
        }
      }),
    );

    test(
      "a thrown value that is no Error is INTERNAL too",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("fail", () => Promise.reject("just text"));
        server.rpc("worse", () => Promise.reject(undefined));
        const client = await stage.join(server);
        expect((await failureOf(client.call("fail"))).code).toBe(ErrorCode.INTERNAL);
        expect((await failureOf(client.call("worse"))).code).toBe(ErrorCode.INTERNAL);
      }),
    );
  });
}

async function lastOf(items: AsyncIterable<unknown>): Promise<unknown> {
  let last: unknown;
  for await (const item of items) last = item;
  return last;
}

async function awaitsOperation(operation: () => Promise<unknown>): Promise<void> {
  await operation();
}

function failureBy(operation: () => unknown): Error {
  try {
    operation();
  } catch (failure) {
    return failure as Error;
  }
  throw new Error("Nothing was thrown");
}
