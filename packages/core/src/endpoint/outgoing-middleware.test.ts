import { expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testClient, testServer } from "../test-support/peers.ts";

async function scene() {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime);
  const received: unknown[] = [];
  server.on("note", (_connection, data) => void received.push(data));
  const { client } = testClient(runtime);
  const errors: number[] = [];
  client.onError((error) => void errors.push((error as { code?: number }).code ?? 0));
  await client.connect();
  return { runtime, client, received, errors };
}

test("a message whose middleware calls next() twice is sent once, and onError is notified of the second call", async () => {
  const { runtime, client, received, errors } = await scene();
  client.use(async (_context, next) => {
    await next();
    return await next();
  });
  client.send("note", 1);
  await runtime.settle();
  expect([received, errors]).toEqual([[1], [ErrorCode.INVALID_STATE]]);
});

test("a message whose middleware waits before next() isn't sent, and send() says why", async () => {
  const { runtime, client, received, errors } = await scene();
  client.use(async (_context, next) => {
    await Promise.resolve();
    return await next();
  });
  expect(() => client.send("note", 1)).toThrow(
    expect.objectContaining({
      code: ErrorCode.INVALID_STATE,
      message: expect.stringContaining("before its first await"),
    }),
  );
  await runtime.settle();
  expect([received, errors]).toEqual([[], [ErrorCode.INVALID_STATE]]);
});

test("an error of sending is thrown by send() and not reported twice", async () => {
  const { runtime, client, errors } = await scene();
  client.use(async (_context, next) => await next());
  expect(() => client.send("note", () => 1)).toThrow(expect.objectContaining({ code: ErrorCode.UNSERIALIZABLE }));
  await runtime.settle();
  expect(errors).toEqual([]);
});

test("a middleware that fails after an error of sending is reported with its own error", async () => {
  const { runtime, client, errors } = await scene();
  client.use(async (_context, next) => {
    await next().catch(() => undefined);
    throw new RpcError(900, "the middleware's own");
  });
  expect(() => client.send("note", () => 1)).toThrow(expect.objectContaining({ code: ErrorCode.UNSERIALIZABLE }));
  await runtime.settle();
  expect(errors).toEqual([900]);
});

test("metadata that a middleware adds isn't added to the caller's own", async () => {
  const { client } = await scene();
  client.use((context, next) => {
    context.meta["trace"] = "1";
    return next();
  });
  const meta = { tenant: "blue" };
  await client.request("note", 1, { meta });
  expect(meta).toEqual({ tenant: "blue" });
});
