import { expect, onTestFinished, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { MAX_RUNNING_HOOKS } from "../limits.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { diskFiles, temporaryFolder } from "../test-support/file-scene.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { rawDial } from "../test-support/raw-memory.ts";
import type { FileAccess } from "../util/file-access.ts";
import type { Server, ServerInit } from "./server.ts";

const users = { bob: { password: "builder" } };

/** Starts a client of a server whose hooks are completed by the test. */
async function scene(
  prepare: (server: Server, hook: () => Promise<void>) => void,
  options: Partial<ServerInit> = {},
  files?: FileAccess,
) {
  const runtime = Object.assign(fakeRuntime(), { files });
  const running: (() => void)[] = [];
  let started = 0;
  let isOver = false;
  const hook = async (): Promise<void> => {
    started += 1;
    if (!isOver) await new Promise<void>((resolve) => running.push(resolve));
  };
  await testServer(runtime, { users, handlerConcurrency: 2, ...options }, (server) => prepare(server, hook));
  onTestFinished(() => {
    isOver = true;
    for (const finish of running) finish();
  });
  const { client } = testClient(runtime, { username: "bob", password: "builder" });
  await client.connect();
  /** Completes the first hook. Returns the number of started hooks. */
  const startedAfterOne = async (): Promise<number> => {
    running.shift()?.();
    await runtime.settle();
    return started;
  };
  return { runtime, client, startedAfterOne, started: () => started };
}

test.each<[string, (server: Server, hook: () => Promise<void>) => void]>([
  ["onUnknown", (server, hook) => server.onUnknown(hook)],
  [
    "onDenied",
    (server, hook) => {
      server.on("t", () => undefined, { roles: ["admin"] });
      server.onDenied(hook);
    },
  ],
  [
    "onError",
    (server, hook) => {
      server.on("t", () => {
        throw new Error("broken");
      });
      server.onError(hook);
    },
  ],
])(
  "asynchronous hooks of %s that a client's messages start are at most as many as its handlers",
  async (_, prepare) => {
    const { runtime, client, startedAfterOne, started } = await scene(prepare);
    for (let sent = 0; sent < 5; sent += 1) client.send("t", sent);
    await runtime.settle();
    expect(started()).toBe(2);
    expect([await startedAfterOne(), await startedAfterOne()]).toEqual([3, 4]);
  },
);

test("asynchronous hooks of onDeadLetter are at most as many as handlers, and the senders have their errors at once", async () => {
  const { runtime, client, startedAfterOne, started } = await scene((server, hook) => {
    server.on("t", () => {
      throw new RpcError(900, "No");
    });
    server.onDeadLetter(hook);
  });
  const sent = Array.from({ length: 5 }, () => outcome(client.send("t", 1, { ack: { deliveries: 2 } })));
  await runtime.advance(10_000);
  expect([started(), sent.filter(({ state }) => state === "rejected").length]).toEqual([2, 2]);
  expect(await startedAfterOne()).toBe(3);
});

test("asynchronous hooks of onFileReceived and onFileSent count like handlers, and transfers don't wait for them", async () => {
  const dir = await temporaryFolder();
  const { runtime, client, startedAfterOne, started } = await scene(
    (server, hook) => {
      server.files("box", { dir, upload: true, download: true });
      server.rpc("ping", () => "pong");
      server.onFileReceived(hook);
      server.onFileSent(hook);
    },
    {},
    diskFiles,
  );
  await client.files("box").upload(new Uint8Array(10), { name: "a" });
  await client.files("box").download("a", `${dir}/b`);
  const ping = outcome(client.call("ping"));
  await runtime.settle();
  expect([started(), ping.state]).toEqual([2, "pending"]);
  await startedAfterOne();
  expect(ping.state).toBe("resolved");
});

test("data that hooks of onUnknown have counts against receiveQueueBytes", async () => {
  const { runtime, client, startedAfterOne, started } = await scene((server, hook) => server.onUnknown(hook), {
    handlerConcurrency: 100,
    maxMessageBytes: 64 * 1024,
    receiveQueueBytes: 128 * 1024,
  });
  for (let sent = 0; sent < 6; sent += 1) client.send("t", new Uint8Array(50_000));
  await runtime.settle();
  expect([started(), await startedAfterOne()]).toEqual([3, 4]);
});

test("a request without a handler is answered while the hooks of onUnknown run", async () => {
  const { client } = await scene((server, hook) => server.onUnknown(hook));
  await expect(client.request("t", 1)).rejects.toMatchObject({ code: ErrorCode.NO_HANDLER });
});

test("asynchronous hooks of onClientRejected and onError that strangers start have a bound", async () => {
  const started = { rejected: 0, errors: 0 };
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, {}, (made) => {
    made.onClientRejected(() => {
      started.rejected += 1;
      return finished;
    });
    made.onError((_, { stage }) => {
      if (stage === "login") started.errors += 1;
      return finished;
    });
  });
  onTestFinished(finish);
  for (let dialled = 0; dialled < MAX_RUNNING_HOOKS + 10; dialled += 1) {
    (await rawDial(runtime, 8080)).stream.write(new Uint8Array(64));
    await runtime.settle();
  }
  expect(server.stats.rejected).toBe(MAX_RUNNING_HOOKS + 10);
  expect(started).toEqual({ rejected: MAX_RUNNING_HOOKS, errors: MAX_RUNNING_HOOKS });
});
