/** Where Node keeps to itself what its sockets are made with, they take the place of handles, and all is as it was. */
import { describe, expect, test, vi } from "vitest";
import { nodeAdapter } from "../../../conformance/adapter/node-adapter.ts";
import { describeSocketStream } from "../../../conformance/adapter/socket-stream.suite.ts";
import { describeSocketPairs } from "../../../conformance/byte-stream/socket-pairs.suite.ts";
import { handles } from "./handles.ts";

vi.hoisted(() => {
  Object.assign(process, {
    binding(): never {
      throw new Error("Access to this API has been restricted");
    },
  });
});

test("there are no handles", () => {
  expect(handles).toBe(null);
});

describe("without handles", () => {
  describeSocketStream(nodeAdapter);
  describeSocketPairs(nodeAdapter);
});
