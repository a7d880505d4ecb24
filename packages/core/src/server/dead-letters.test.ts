import { expect, test } from "vitest";
import type { DeadLetter } from "../endpoint/dead-letter.ts";
import { ErrorCode, RpcError } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { DeadLetters } from "./dead-letters.ts";

/** Creates dead letters with these ids in a store. */
function scene(...ids: readonly string[]) {
  const store = memoryStore();
  const failures: unknown[] = [];
  const letters = new DeadLetters({
    store,
    codec: {
      encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
      decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
    },
    now: () => 0,
    storeFailed: (error) => void failures.push(error),
  });
  for (const id of ids) {
    letters._keep({
      id,
      type: "t",
      data: 1,
      key: "k",
      deliveries: 1,
      error: { code: 1, message: "", failureId: null },
      user: "",
      at: 0,
    });
  }
  return { store, letters, failures };
}

const idsOf = (letters: readonly DeadLetter[]): string[] => letters.map(({ id }) => id);

test("as many dead letters are listed as are asked for", async () => {
  const { letters } = scene("1", "2", "3");
  expect(idsOf(await letters.list({ limit: 2 }))).toEqual(["1", "2"]);
  expect(idsOf(await letters.list({ limit: 5000 }))).toEqual(["1", "2", "3"]);
});

test.for([-1, 0, 2.5, Number.NaN])("a limit of %s is refused", async (limit) => {
  const { letters } = scene("1");
  await expect(letters.list({ limit })).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
});

test("a dead letter that can't be read is left out, and reported", async () => {
  const { store, letters, failures } = scene("1", "3");
  await store.put("dead/2", new Uint8Array([1]), 1000);
  expect(idsOf(await letters.list())).toEqual(["1", "3"]);
  expect(failures).toMatchObject([{ code: ErrorCode.STORE_FAILED }]);
});

test("a message whose handlers put into its data what can't be kept is answered and told to the hooks all the same", async () => {
  const runtime = fakeRuntime();
  const store = memoryStore({ now: () => runtime.wallClock() });
  const { server, errors } = await testServer(runtime, { resume: { store } });
  let runs = 0;
  server.on("order", (_connection, order) => {
    runs += 1;
    (order as { undo?: unknown }).undo = () => undefined;
    throw new RpcError(900, "Sold out");
  });
  const letters: DeadLetter[] = [];
  server.onDeadLetter((letter) => letters.push(letter));
  const { client } = testClient(runtime);
  await client.connect();
  const sent = outcome(client.send("order", { id: 17 }, { ack: { deliveries: 2, delayMs: 0 } }));
  await runtime.advance(100);
  expect(sent.error).toMatchObject({ code: 900 });
  expect(runs).toBe(2);
  expect(letters).toMatchObject([{ type: "order", deliveries: 2 }]);
  expect(errors).toMatchObject([{ stage: "store", code: ErrorCode.UNSERIALIZABLE }]);
});

test("a server that stops waits until the store has its dead letters", async () => {
  const runtime = fakeRuntime();
  const store = memoryStore({ now: () => runtime.wallClock() });
  const writing = gate();
  const { put } = store;
  store.put = async (key, value, ttlMs) => {
    if (key.startsWith("dead/")) await writing.promise;
    await put.call(store, key, value, ttlMs);
  };
  const { server } = await testServer(runtime, { resume: { store } });
  server.on("order", () => {
    throw new RpcError(900, "Sold out");
  });
  const { client } = testClient(runtime);
  await client.connect();
  const sent = outcome(client.send("order", {}, { ack: { deliveries: 2, delayMs: 0 } }));
  await runtime.advance(100);
  expect(sent.state).toBe("rejected");
  await client.close();
  const stopped = outcome(server.stop());
  await runtime.advance(100);
  expect(stopped.state).toBe("pending");
  writing.open();
  await runtime.settle();
  expect(stopped.state).toBe("resolved");
  expect(await store.keys("dead/", 10)).toHaveLength(1);
});
