import { expect, test } from "vitest";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { runtimeContextOf } from "../context/runtime-context.ts";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testServer } from "../test-support/peers.ts";
import { PASSWORD, rawDial } from "../test-support/raw-memory.ts";
import { ScramClient } from "../test-support/scram-by-rfc.ts";
import { Type } from "../testing/raw-frames.ts";
import { payloadOf } from "../testing/raw-peer.ts";
import { resumeRequest, Sessions } from "./sessions.ts";

/** Creates a connection that has received `received` bytes and sent up to 100. */
function connection(received = 0): ProtocolConnection<unknown> {
  const sent = { isPossible: (count: number) => count <= 100 };
  const resumption = { stream: { received, sent } };
  return { isOpen: true, isSuspended: true, resumption } as unknown as ProtocolConnection<unknown>;
}

function sessions(): Sessions<unknown> {
  return new Sessions(runtimeContextOf(fakeRuntime()), 1000);
}

test("a token is invalid for another user", () => {
  const all = sessions();
  const protocol = connection();
  all.add(protocol, "ada", "token");
  const request = { token: "token", received: 0 };
  expect(all.find(request, "bob")).toBe(null);
  expect(all.find({ ...request, token: "guessed" }, "ada")).toBe(null);
  expect(all.find({ ...request, received: 101 }, "ada")).toBe(null);
  expect(all.find(request, "ada")?.protocol).toBe(protocol);
});

test("a token is valid until data has arrived over the stream whose login issued the next token", () => {
  const all = sessions();
  const protocol = connection();
  all.add(protocol, "ada", "first");
  const request = { token: "first", received: 0 };
  const session = all.find(request, "ada");
  if (session === null) return expect.fail("There is no session");
  all.resumed(session, request, "second");
  expect(all.has(request)).toBe(true);
  Object.assign(protocol.resumption?.stream ?? {}, { received: 1 });
  expect(all.has(request)).toBe(false);
  expect(all.has({ token: "second", received: 0 })).toBe(true);
});

test("what an ended session had received is told to its owner alone", () => {
  const all = sessions();
  const protocol = connection(42);
  all.add(protocol, "ada", "token");
  all.ended(protocol);
  const request = { token: "token", received: 0 };
  expect(all.has(request)).toBe(false);
  expect(all.receivedOf(request, "ada")).toBe(42);
  expect(all.receivedOf(request, "bob")).toBe(null);
});

test("a session whose connection is still closing isn't ended by another user who has its token", () => {
  const all = sessions();
  let ends = 0;
  const destroy = (): void => {
    ends += 1;
  };
  all.add(Object.assign(connection(), { isOpen: false, destroy }), "ada", "token");
  const request = { token: "token", received: 0 };
  expect([all.receivedOf(request, "bob"), ends]).toEqual([null, 0]);
  all.receivedOf(request, "ada");
  expect(ends).toBe(1);
});

test("a session whose connection is still closing ends when its client comes back, and what it had received is told", async () => {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, { resume: true });
  const left: (number | undefined)[] = [];
  server.onClientDisconnect((_connection, { code }) => void left.push(code));
  const extensions = {
    close: true,
    credit: { frames: 1024, bytes: 1_000_000 },
    chunk: { messages: 8, bytes: 1_000_000 },
    resume: { bytes: 1_000_000, window_ms: 0 },
  };
  const first = await rawDial(runtime, port);
  const { session_token: token } = await first.login({ password: PASSWORD, extensions });
  await runtime.settle();
  first.pause();
  void server.connections[0]?.close("Done");
  await runtime.settle();
  expect([server.connections.length, left]).toEqual([0, []]);

  const second = await rawDial(runtime, port);
  const scram = new ScramClient(PASSWORD);
  const resume = { token, received: 0 };
  second.send(Type.AUTH_REQUEST, { client_info: { name: "raw" }, scram: scram.clientFirst, extensions, resume });
  await second.answerChallenge(scram);
  const success = payloadOf(await second.next(), Type.AUTH_SUCCESS);
  expect(success).toMatchObject({ expired: { received: 0 } });
  await runtime.settle();
  expect(left).toEqual([ErrorCode.CONNECTION_CLOSED]);
});

test.each([
  null,
  undefined,
  1,
  {},
  { token: 1, received: 0 },
  { token: "a", received: -1 },
  { token: "a", received: 0.5 },
])("%j in a login asks for no session", (value) => {
  expect(resumeRequest(value)).toBe(null);
});
