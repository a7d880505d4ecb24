import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { type ReceivedFrame, typeName } from "../../../packages/core/src/testing/raw-frames.ts";

function keysOf(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + keysOf(item), 0);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return 0;
  return Object.values(value).reduce((sum: number, item) => sum + keysOf(item), Object.keys(value).length);
}

/** Checks that no map in the payload has a duplicate key. */
export function hasEachKeyOnce(received: ReceivedFrame): void {
  if (received.payloadBytes.length === 0) return;
  let sent = 0;
  const mapKeyConverter = (key: unknown): string => {
    sent += 1;
    return String(key);
  };
  const value = decode(received.payloadBytes, { mapKeyConverter });
  assert.equal(sent, keysOf(value), `${typeName(received)} has a key twice`);
}
