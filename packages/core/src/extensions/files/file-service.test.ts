import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { runtimeContextOf } from "../../context/runtime-context.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { diskFiles, temporaryFolder } from "../../test-support/file-scene.ts";
import { type Outcome, outcome, testClient, testServer } from "../../test-support/peers.ts";
import { FileMethod } from "../../wire/called-as.ts";
import { fileTransfersOf } from "./file-transfers.ts";

/** Starts a server that can serve a folder. */
async function scene() {
  const runtime = Object.assign(fakeRuntime(), { files: diskFiles });
  const { server } = await testServer(runtime);
  return { runtime, server, dir: await temporaryFolder() };
}

test("a folder's name is served once at a time", async () => {
  const { server, dir } = await scene();
  const end = server.files("box", { dir, download: true });
  const again = (): unknown => server.files("box", { dir, download: true });
  expect(again).toThrow(
    expect.objectContaining({ codeName: "INVALID_STATE", message: expect.stringContaining("already served") }),
  );
  end();
  again();
});

test("a server doesn't start while a folder that it serves doesn't exist", async () => {
  const { server, dir } = await scene();
  await server.stop();
  const errors: unknown[] = [];
  server.onError((error) => errors.push(error));
  const missing = join(dir, "missing");
  server.files("box", { dir: missing, upload: true });
  const refused = {
    codeName: "INVALID_CONFIG",
    message: expect.stringContaining(`the folder '${missing}' doesn't exist`),
  };
  await expect(server.start()).rejects.toMatchObject(refused);
  expect([server.state, errors]).toEqual(["stopped", []]);
  await mkdir(missing);
  await server.start();
  await server.stop();
});

test("a server doesn't start while it may not look for a folder that it serves, and the error says why", async () => {
  const { server, dir, runtime } = await scene();
  await server.stop();
  const cause = new Error("Requires read access");
  runtime.files = { ...diskFiles, isFolder: () => Promise.reject(cause) };
  server.files("box", { dir, download: true });
  const message = expect.stringContaining("Requires read access");
  await expect(server.start()).rejects.toMatchObject({ codeName: "INVALID_CONFIG", message, cause });
});

test("a folder that doesn't exist is reported when it is served by a server that runs, or by a client that connects", async () => {
  const runtime = Object.assign(fakeRuntime(), { files: diskFiles });
  const { server, errors } = await testServer(runtime);
  const { client, errors: ofClient } = testClient(runtime);
  const dir = join(await temporaryFolder(), "missing");
  server.files("box", { dir, download: true });
  client.files("box", { dir, download: true });
  await client.connect();
  await vi.waitFor(() => expect([errors.length, ofClient.length]).toEqual([1, 1]));
  expect([errors[0], ofClient[0]]).toMatchObject([{ code: 1010 }, { code: 1010 }]);
});

test("one folder at a time has the option netconduit", async () => {
  const { server, dir } = await scene();
  const end = server.files("box", { dir, upload: true, netconduit: true });
  const other = (): unknown => server.files("other", { dir, upload: true, netconduit: true });
  expect(other).toThrow(
    expect.objectContaining({ codeName: "INVALID_STATE", message: expect.stringContaining("only one can") }),
  );
  end();
  other();
});

test("all clients together have open a quarter as many files as there may be connections; others wait", async () => {
  const runtime = Object.assign(fakeRuntime(), { files: diskFiles });
  const listen = runtime.listen.bind(runtime);
  runtime.listen = async (target, events) => ({ ...(await listen(target, events)), maxSockets: 12 });
  const dir = await temporaryFolder();
  await writeFile(join(dir, "a"), new Uint8Array(2 ** 20));
  const { server } = await testServer(runtime, {}, (fresh) => void fresh.files("box", { dir, download: true }));
  const clients = Array.from({ length: 5 }, () => testClient(runtime).client);
  const asked: Outcome<unknown>[] = [];
  for (const client of clients) {
    await client.connect();
    const params = { folder: "box", name: "a", offset: 0, bytes: null, modified: null };
    asked.push(outcome(client.stream(FileMethod.DOWNLOAD, params).next()));
  }
  const { openFiles } = fileTransfersOf(runtimeContextOf(runtime));
  await vi.waitFor(() => expect(asked.filter(({ state }) => state === "resolved")).toHaveLength(3));
  await runtime.settle();
  expect([openFiles.maxAll, asked.filter(({ state }) => state === "pending").length]).toEqual([3, 2]);
  await clients[0]?.disconnect();
  await vi.waitFor(() => expect(asked.filter(({ state }) => state === "resolved")).toHaveLength(4));
  expect(server.connectionCount).toBe(4);
});
