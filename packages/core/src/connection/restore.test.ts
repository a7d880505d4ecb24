import { expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testClient, testServer } from "../test-support/peers.ts";

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** Time after which a disconnected client has reconnected. */
const BACK_MS = 100;

async function scene() {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { resume: true });
  const { client } = testClient(runtime, { resume: true, reconnect: RECONNECT });
  await client.connect();
  const [connection] = server.connections;
  if (connection === undefined) throw new Error("No connection");
  const resumeNow = async (): Promise<void> => {
    runtime.pairs.at(-1)?.dialled.destroy(null);
    await runtime.advance(BACK_MS);
  };
  return { server, client, connection, resumeNow };
}

test("a client that closes while it is notified of its return gives up the new stream", async () => {
  const { client, connection, resumeNow } = await scene();
  client.onStateChange(({ event }) => {
    if (event === "restore") void client.close();
  });
  await resumeNow();
  expect([client.state, connection.state]).toEqual(["closed", "suspended"]);
});

test("a server that closes a connection while it is notified of its return gives up the new stream", async () => {
  const { server, client, connection, resumeNow } = await scene();
  connection.onStateChange(({ event }) => {
    if (event === "restore") void connection.close();
  });
  await resumeNow();
  expect(connection.state).toBe("closed");
  expect(client.state).toBe("active");
  expect(server.connections).toHaveLength(1);
  expect(server.connections[0]).not.toBe(connection);
});
