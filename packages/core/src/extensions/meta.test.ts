import { expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testClient, testServer } from "../test-support/peers.ts";

// MessagePack encodes maps of 16 and more entries differently.
test.each([1, 15, 16, 17, 64])("%i entries of metadata arrive", async (count) => {
  const runtime = fakeRuntime();
  await testServer(runtime, {}, (server) => {
    server.rpc("echo", (_params, { meta }) => meta);
    server.on("echo", (_connection, _data, { meta }) => meta);
  });
  const { client } = testClient(runtime);
  await client.connect();
  const meta = Object.fromEntries(Array.from({ length: count }, (_, index) => [`key ${index}`, `value ${index}`]));
  expect(await client.call("echo", {}, { meta })).toEqual(meta);
  expect(await client.request("echo", null, { meta })).toEqual(meta);
});
