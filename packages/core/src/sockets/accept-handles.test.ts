import { describe, expect, test } from "vitest";
import { fakeHandle } from "../test-support/fake-handle.ts";
import { acceptHandles } from "./accept-handles.ts";

/** A server whose handle hands over connections, with what is taken of them and what its own callback gets. */
function fakeServer(facts: { handle?: object | null; mayTake?: boolean } = {}) {
  const passedOn: unknown[][] = [];
  const accepted: object[] = [];
  const onconnection = (...given: unknown[]): void => void passedOn.push(given);
  const listener: { onconnection(...given: unknown[]): void } = { onconnection };
  const server = { _handle: facts.handle === undefined ? listener : facts.handle };
  acceptHandles(
    server,
    (handle) => accepted.push(handle),
    () => facts.mayTake ?? true,
  );
  return { listener, passedOn, accepted, isReplaced: listener.onconnection !== onconnection };
}

describe("acceptHandles", () => {
  test("hands over each handle, of which the server hears nothing", () => {
    const { listener, accepted, passedOn } = fakeServer();
    const handles = [fakeHandle(), fakeHandle()];
    for (const each of handles) listener.onconnection(0, each);
    expect([accepted, passedOn]).toEqual([handles, []]);
  });

  test.each([
    ["an error", -24, undefined],
    ["a handle that cannot read into memory it is given", 0, { ...fakeHandle(), useUserBuffer: undefined }],
  ])("leaves %s to Node", (_what, error, handle) => {
    const { listener, passedOn, accepted } = fakeServer();
    listener.onconnection(error, handle);
    expect([passedOn, accepted]).toEqual([[[error, handle]], []]);
  });

  test("leaves a handle to Node that must not be taken", () => {
    const { listener, passedOn, accepted } = fakeServer({ mayTake: false });
    const handle = fakeHandle();
    listener.onconnection(0, handle);
    expect([passedOn, accepted]).toEqual([[[0, handle]], []]);
  });

  test.each([
    ["no handle", { handle: null }],
    ["a handle without a callback", { handle: {} }],
  ])("leaves a server with %s as it is", (_what, facts) => {
    expect(fakeServer(facts).isReplaced).toBe(false);
  });
});
