import { expect, test } from "vitest";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { runtimeContextOf } from "../context/runtime-context.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { resumeRequest, Sessions } from "./sessions.ts";

/** A connection that has received so many bytes, and of which up to 100 were sent. */
function connection(received = 0): ProtocolConnection<unknown> {
  const sent = { isPossible: (count: number) => count <= 100 };
  const resumption = { stream: { received, sent } };
  return { isOpen: true, isSuspended: true, resumption } as unknown as ProtocolConnection<unknown>;
}

function sessions(): Sessions<unknown> {
  return new Sessions(runtimeContextOf(fakeRuntime()), 1000);
}

test("a token is of no use to another user", () => {
  const all = sessions();
  const protocol = connection();
  all.add(protocol, "ada", "token");
  const request = { token: "token", received: 0 };
  expect(all.find(request, "bob")).toBe(null);
  expect(all.find({ ...request, token: "guessed" }, "ada")).toBe(null);
  expect(all.find({ ...request, received: 101 }, "ada")).toBe(null);
  expect(all.find(request, "ada")?.protocol).toBe(protocol);
});

test("a token is good until something has arrived over the stream that came with the next one", () => {
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
