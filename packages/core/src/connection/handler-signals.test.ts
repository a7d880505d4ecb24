import { expect, test } from "vitest";
import { CANCEL_FRAME } from "../extensions/cancel.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { Server } from "../server/server.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { frame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

type Listen = (context: HandlerContext<unknown>) => void;

const fail = (): never => {
  throw new Error("failed");
};

/** Handlers named `x`, each of which accesses its signal. */
const handlers: Readonly<Record<string, (server: Server, listen: Listen) => void>> = {
  "a method that returns": (server, listen) => server.rpc("x", (_params, context) => listen(context)),
  "a method that throws": (server, listen) =>
    server.rpc("x", (_params, context) => {
      listen(context);
      fail();
    }),
  "a method that resolves": (server, listen) => server.rpc("x", async (_params, context) => listen(context)),
  "a method that rejects": (server, listen) =>
    server.rpc("x", async (_params, context) => {
      listen(context);
      fail();
    }),
  "a message's handler that returns": (server, listen) =>
    server.on("x", (_connection, _data, context) => listen(context)),
  "a message's handler that throws": (server, listen) =>
    server.on("x", (_connection, _data, context) => {
      listen(context);
      fail();
    }),
  "a message's handler that resolves": (server, listen) =>
    server.on("x", async (_connection, _data, context) => listen(context)),
  "a message's handler that rejects": (server, listen) =>
    server.on("x", async (_connection, _data, context) => {
      listen(context);
      fail();
    }),
  "one of two handlers of a message": (server, listen) => {
    server.on("x", (_connection, _data, context) => listen(context));
    server.on("x", () => undefined);
  },
};

test("a cancelled handler may reject with a value that throws when it is looked at", async () => {
  const runtime = fakeRuntime();
  const { port } = await testServer(runtime, { handlerConcurrency: 1 }, (server) => {
    server.rpc("x", (_params, { signal }) => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(proxy)));
    });
    server.rpc("ping", () => "pong");
  });
  const peer = await rawClient(runtime, port);
  peer.call("x", {}, 1);
  await runtime.settle();
  peer.send(CANCEL_FRAME, undefined, { id: 1 });
  peer.call("ping", {}, 2);
  const answers = (await peer.received()).map(({ type, id }) => [type, Number(id)]);
  expect(answers).toContainEqual([FrameType.RPC_RESPONSE, 2]);
});

test.each(Object.keys(handlers))("the signal of %s doesn't fire when its deadline passes later", async (kind) => {
  const runtime = fakeRuntime();
  const signals: AbortSignal[] = [];
  const { port } = await testServer(runtime, {}, (server) => {
    handlers[kind]?.(server, ({ signal }) => signals.push(signal));
  });
  const peer = await rawClient(runtime, port);
  const timeout_ms = 1000;
  if (kind.includes("method")) peer.send(FrameType.RPC_REQUEST, { method: "x", params: {}, timeout_ms }, { id: 1 });
  else peer.write(frame(FrameType.MESSAGE, { type: "x", data: null, timeout_ms }, { id: 1 }));
  await peer.next();
  await runtime.advance(3000);
  expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
});
