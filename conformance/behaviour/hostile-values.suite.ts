import { ErrorCode, RpcError } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { PATIENT, stagedOn } from "./stage.ts";

function refuse(): never {
  throw new Error("not to be touched");
}

/** Returns a Proxy of `target` with traps that throw. */
function untouchable(target: object): object {
  return new Proxy(target, {
    get: refuse,
    has: refuse,
    ownKeys: refuse,
    getOwnPropertyDescriptor: refuse,
  });
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

function withGetters(error: Error): Error {
  for (const key of ["name", "message", "stack", "cause"]) {
    Object.defineProperty(error, key, { get: refuse, configurable: true });
  }
  return error;
}

function withMessage(message: unknown): Error {
  const error = new Error("x");
  Object.defineProperty(error, "message", { value: message });
  return error;
}

/** Values that throw when they are inspected carelessly. */
const HOSTILE: readonly (readonly [string, () => unknown])[] = [
  ["a revoked Proxy", revoked],
  ["a Proxy of an Error", () => untouchable(new Error("x"))],
  ["a Proxy of an RpcError", () => untouchable(new RpcError(1, "x"))],
  ["an Error whose message is a Symbol", () => withMessage(Symbol("message"))],
  ["an Error whose message is an object", () => withMessage({ toString: refuse })],
  ["an Error whose getters throw", () => withGetters(new Error("x"))],
  ["an RpcError whose getters throw", () => withGetters(new RpcError(1, "x"))],
  ["an object without text", () => ({ toString: refuse })],
  ["a Symbol", () => Symbol("thrown")],
];

/** Application values that throw when inspected. None may end the process or leak a slot. */
export function describeHostileValues(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`hostile values of handlers on ${subject.name}`, PATIENT, () => {
    for (const [name, make] of HOSTILE) {
      test(
        `${name} that a password function throws rejects connect() unchanged`,
        staged(async (stage) => {
          const thrown = make();
          const password = (): string => {
            throw thrown;
          };
          const client = stage.client(await stage.listen(), { password });
          const outcome = await client.connect().then(
            () => "connected",
            (error: unknown) => (Object.is(error, thrown) ? "unchanged" : "another error"),
          );
          expect(outcome).toBe("unchanged");
        }),
      );
    }

    for (const exposeErrors of [false, true]) {
      for (const [name, make] of HOSTILE) {
        const ways: readonly (readonly [string, () => unknown])[] = [
          [
            "thrown",
            () => {
              throw make();
            },
          ],
          ["rejected with", () => Promise.reject(make())],
        ];
        for (const [how, handler] of ways) {
          test(
            `${name}, ${how}, fails its call and frees its slot${exposeErrors ? ", with exposeErrors, too" : ""}`,
            staged(async (stage) => {
              const server = await stage.listen({ exposeErrors, handlerConcurrency: 1 });
              server.rpc("fail", handler);
              server.on("fail", handler);
              server.rpc("after", async () => "ran");
              const client = await stage.join(server);
              const codes = [
                (await failureOf(client.call("fail"))).code,
                (await failureOf(client.request("fail"))).code,
              ];
              expect(codes.every((code) => code === ErrorCode.INTERNAL || code === 1)).toBe(true);
              client.send("fail");
              expect(await client.call("after")).toBe("ran");
            }),
          );
        }
      }
    }

    for (const [name, make] of HOSTILE) {
      test(
        `${name}, thrown by every hook, is a failed hook and nothing else`,
        staged(async (stage) => {
          const server = await stage.listen();
          const reports = new EventLog<string>();
          const fail = (): Promise<never> => Promise.reject(make());
          server.onError((_error, { stage: where }) => reports.add(where));
          server.onError(fail);
          server.onUnknown(fail);
          server.on("fail", fail);
          const client = await stage.join(server);
          client.send("unknown");
          client.send("fail");
          expect([await reports.next(), await reports.next()].toSorted()).toEqual(["hook", "message"]);
        }),
      );

      test(
        `${name}, as the reason of an AbortSignal, cancels the call`,
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("wait", (_params, { signal }) => new Promise((_resolve, reject) => (signal.onabort = reject)));
          const client = await stage.join(server);
          const control = new AbortController();
          const call = failureOf(client.call("wait", {}, { signal: control.signal }));
          control.abort(make());
          expect((await call).code).toBe(ErrorCode.CANCELLED);
        }),
      );

      test(
        `${name}, thrown by a schema of a result, fails the call at its caller`,
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("echo", (params) => params);
          const client = await stage.join(server);
          const validate = (): never => {
            throw make();
          };
          const result = { "~standard": { version: 1, vendor: "test", validate } } as const;
          const outcome = client.call("echo", {}, { result }).then(
            () => "resolved",
            () => "rejected",
          );
          expect(await outcome).toBe("rejected");
        }),
      );
    }
  });
}
