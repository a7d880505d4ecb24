import { expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";

// The library retries after such an error from a server that didn't start the handler.
test.each(["RATE_LIMITED", "SERVER_STOPPING", "STORE_FAILED", "STORE_FULL", "TIMEOUT"] as const)(
  "%s of a handler is the answer of a message with ack and of a call with once, which aren't sent again",
  async (codeName) => {
    const runtime = fakeRuntime();
    let runs = 0;
    const details = { retry_after: 0.01, started: false };
    const fail = (): never => {
      runs += 1;
      throw new RpcError(ErrorCode[codeName], "handed on from another server", { details });
    };
    await testServer(runtime, {}, (server) => {
      server.on("order", fail);
      server.rpc("charge", fail);
    });
    const { client } = testClient(runtime);
    await client.connect();
    const answers = [
      outcome(client.send("order", 1, { ack: { delayMs: 1 } })),
      outcome(client.call("charge", {}, { once: "order 1" })),
    ];
    await runtime.settle();
    const answer = { codeName, details: { retry_after: 0.01, started: true } };
    expect(answers.map(({ error }) => error)).toMatchObject([answer, answer]);
    await runtime.advance(60_000);
    expect([runs, client.stats?.messagesSent]).toEqual([2, 2]);
  },
);
