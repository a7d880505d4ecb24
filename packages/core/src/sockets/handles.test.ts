import { describe, expect, test } from "vitest";
import { fakeDialBinding, fakeProcess } from "../test-support/fake-dial.ts";
import { fakeBinding } from "../test-support/fake-handle.ts";
import { FakeSockets } from "../test-support/fake-sockets.ts";
import { handlesOf } from "./handles.ts";

describe("handlesOf", () => {
  const tools = { errors: new FakeSockets().errors, nameOf: String, familyOf: () => 4 };
  const { tcp, pipe } = fakeDialBinding();
  const all = { stream_wrap: fakeBinding, tcp_wrap: tcp, pipe_wrap: pipe };
  const on = (platform: string, bindings: Readonly<Record<string, object | null>>) =>
    handlesOf({ ...fakeProcess(bindings), platform }, tools);

  test("are streams, and connecting for them", () => {
    expect(on("linux", all)).toEqual({ Stream: expect.any(Function), dial: expect.any(Function) });
  });

  test("are streams alone where sockets have to connect for them", () => {
    expect(on("linux", { ...all, tcp_wrap: null })).toEqual({ Stream: expect.any(Function), dial: null });
  });

  test("are none without streams", () => {
    expect(on("linux", { ...all, stream_wrap: null })).toBe(null);
  });

  test("are none on Windows, where a read keeps its memory", () => {
    expect(on("win32", all)).toBe(null);
  });
});
