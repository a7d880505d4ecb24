import { describe, expect, test } from "vitest";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { RuntimeContext } from "../context/runtime-context.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { Sessions } from "./sessions.ts";

/** Creates sessions that contain one session with the first token "first". */
function scene() {
  const stream = { received: 0, sent: { isPossible: () => true } };
  const protocol = { isOpen: true, resumption: { stream } } as unknown as ProtocolConnection<unknown>;
  const sessions = new Sessions<unknown>(new RuntimeContext(fakeRuntime()), 1000);
  sessions.add(protocol, "ada", "first");
  const isGood = (token: string): boolean => sessions.find({ token, received: 0 }, "ada") !== null;
  const resume = (token: string, fresh: string): string => {
    const session = sessions.find({ token, received: 0 }, "ada");
    if (session === null) throw new Error(`${token} is no good`);
    return sessions.resumed(session, { token, received: 0 }, fresh);
  };
  return { sessions, stream, protocol, isGood, resume };
}

describe("a session's tokens", () => {
  test("stay good, and the next one stays the same, however many logins with the earlier one come late", () => {
    const { isGood, resume } = scene();
    expect(resume("first", "held by the client")).toBe("held by the client");
    for (const late of ["1", "2", "3", "4", "5"]) expect(resume("first", late)).toBe("held by the client");
    expect(["first", "held by the client"].map(isGood)).toEqual([true, true]);
  });

  test("are no good, except for the next one, once the client has sent something over the new stream", () => {
    const { stream, isGood, resume } = scene();
    resume("first", "second");
    stream.received += 1;
    expect(["first", "second"].map(isGood)).toEqual([false, true]);
    resume("second", "third");
    expect(["first", "second", "third"].map(isGood)).toEqual([false, true, true]);
  });

  test("are no good once a later one was used", () => {
    const { isGood, resume } = scene();
    resume("first", "second");
    expect(resume("second", "third")).toBe("third");
    expect(["first", "second", "third"].map(isGood)).toEqual([false, true, true]);
  });

  test("all tell how much had been received, after the session has ended", () => {
    const { sessions, stream, protocol, resume } = scene();
    resume("first", "second");
    resume("second", "third");
    sessions.ended(protocol);
    const received = ["second", "third", "other"].map((token) => sessions.receivedOf({ token, received: 0 }, "ada"));
    expect(received).toEqual([stream.received, stream.received, null]);
  });
});
