import { expect, test } from "vitest";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { testClient, testServer } from "../../test-support/peers.ts";

test("smoke", async () => {
  const runtime = fakeRuntime();
  const { errors } = await testServer(runtime, {}, (server) => {
    server.stream("count", async function* ({ to }) {
      for (let n = 0; n < (to as number); n += 1) yield n;
    });
    server.rpc({ name: "sum", input: true }, async (_params, context) => {
      let sum = 0;
      for await (const n of context.input) sum += n as number;
      return sum;
    });
    server.stream({ name: "double", input: true }, async function* (_params, context) {
      for await (const n of context.input) yield 2 * (n as number);
    });
  });
  const { client } = testClient(runtime);
  await client.connect();
  const items: unknown[] = [];
  for await (const n of client.stream("count", { to: 5000 })) items.push(n);
  expect(items).toEqual(Array.from({ length: 5000 }, (_, n) => n));
  expect(await client.call("sum", {}, { input: [1, 2, 3] })).toBe(6);
  const doubled: unknown[] = [];
  for await (const n of client.stream("double", {}, { input: [1, 2, 3] })) doubled.push(n);
  expect(doubled).toEqual([2, 4, 6]);
  expect(errors).toEqual([]);
});
