import { describe, expect, test } from "vitest";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { RuntimeContext } from "../context/runtime-context.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { Sessions } from "./sessions.ts";

/** Sessions with one session whose first token is "first". */
function scene() {
  const stream = { received: 0, sent: { isPossible: () => true } };
  const protocol = { isOpen: true, resumption: { stream } } as unknown as ProtocolConnection<unknown>;
  const sessions = new Sessions<unknown>(new RuntimeContext(fakeRuntime()), 1000);
  sessions.add(protocol, "ada", "first");
  const isGood = (token: string): boolean => sessions.find({ token, received: 0 }, "ada") !== null;
  const resume = (token: string, next: string): void => {
    const session = sessions.find({ token, received: 0 }, "ada");
    if (session === null) throw new Error(`${token} is no good`);
    sessions.resumed(session, { token, received: 0 }, next);
  };
  return { sessions, stream, protocol, isGood, resume };
}

describe("a session's tokens", () => {
  test("stay good when a login with an earlier one comes late", () => {
    const { isGood, resume } = scene();
    resume("first", "held by the client");
    resume("first", "of the late login");
    expect(["first", "held by the client", "of the late login"].map(isGood)).toEqual([true, true, true]);
  });

  test("are no good, except for the last one, once the client has sent something over the new stream", () => {
    const { stream, isGood, resume } = scene();
    resume("first", "second");
    resume("first", "third");
    stream.received += 1;
    expect(["first", "second", "third"].map(isGood)).toEqual([false, false, true]);
    resume("third", "fourth");
    expect(["first", "second", "third", "fourth"].map(isGood)).toEqual([false, false, true, true]);
  });

  test("are four at most, among them that of a client which gets no answers", () => {
    const { isGood, resume } = scene();
    const answers = ["a1", "a2", "a3", "a4", "a5"];
    for (const answer of answers) resume("first", answer);
    expect(["first", ...answers].map(isGood)).toEqual([true, false, false, true, true, true]);
  });

  test("all tell how much had been received, after the session has ended", () => {
    const { sessions, stream, protocol, resume } = scene();
    resume("first", "second");
    resume("first", "third");
    sessions.ended(protocol);
    const received = ["first", "second", "third", "other"].map((token) =>
      sessions.receivedOf({ token, received: 0 }, "ada"),
    );
    expect(received).toEqual([stream.received, stream.received, stream.received, null]);
  });
});
