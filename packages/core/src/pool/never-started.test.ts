import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { wasNeverStarted } from "./never-started.ts";

const { CONNECTION_CLOSED, INTERNAL, SEND_QUEUE_FULL, SERVER_STOPPING, TIMEOUT } = ErrorCode;
const unstarted = { details: { started: false } };

describe("a call was certainly never started if", () => {
  test.each([
    ["its connection ended before it was sent", new ConduitError(CONNECTION_CLOSED, "", unstarted)],
    ["the server is known to be stopping", new ConduitError(SERVER_STOPPING, "", unstarted)],
    ["the server refused it because it is stopping", new RpcError(SERVER_STOPPING, "", unstarted)],
    ["the send queue was full", new ConduitError(SEND_QUEUE_FULL, "")],
  ])("%s", (_, error) => {
    expect(wasNeverStarted(error)).toBe(true);
  });
});

describe("a call may have been started if", () => {
  test.each([
    ["its connection ended, and the server didn't say", new ConduitError(CONNECTION_CLOSED, "")],
    [
      "its connection ended, and the server says that it was",
      new ConduitError(CONNECTION_CLOSED, "", { details: { started: true } }),
    ],
    ["its handler handed on that another call wasn't", new RpcError(CONNECTION_CLOSED, "", unstarted)],
    ["its handler met a full queue", new RpcError(SEND_QUEUE_FULL, "")],
    ["its handler has an error of its own with such details", new RpcError(4711, "", unstarted)],
    ["it timed out", new ConduitError(TIMEOUT, "")],
    ["its handler failed", new RpcError(INTERNAL, "")],
    ["something else was thrown", new Error("no")],
    ["something was thrown that isn't an error", null],
  ])("%s", (_, error) => {
    expect(wasNeverStarted(error)).toBe(false);
  });
});
