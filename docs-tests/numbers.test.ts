import { describe, expect, test } from "vitest";
import * as limits from "../packages/core/src/limits.ts";
import { parseServerOptions } from "../packages/core/src/server/server-options.ts";
import { TLS_HANDSHAKE_TIMEOUT_MS } from "../packages/core/src/sockets/tls-material.ts";
import { readText } from "./lib/markdown.ts";

/** The sum under "The worst case" with the default options. */
function worstCaseMiB(): number {
  const { maxBufferedBytes, maxConnections, maxPendingLogins, bufferSize, sendQueueBytes, maxMessageBytes } =
    parseServerOptions({
      password: "secret123",
    });
  const bytes =
    maxBufferedBytes +
    maxConnections * (2 * limits.UNCOUNTED_BYTES + bufferSize) +
    maxPendingLogins * 2 * limits.MAX_HANDSHAKE_BYTES +
    limits.DECODED_FACTOR * maxMessageBytes +
    2 * sendQueueBytes +
    limits.MAX_ONCE_BYTES +
    limits.MAX_ABANDONED_ONCE_BYTES +
    2 * limits.MAX_SPARE_BYTES;
  return Math.round(bytes / 1024 ** 2);
}

/** Phrases in the documents, and the number in the code. */
const numbers: readonly (readonly [file: string, phrase: string, value: number])[] = [
  ["PROTOCOL.md", "10,485,760 bytes by default", limits.DEFAULT_MAX_MESSAGE_BYTES],
  ["PROTOCOL.md", "104,857,600 at most", limits.PROTOCOL_MAX_MESSAGE_BYTES],
  ["PROTOCOL.md", "at most 16,384 bytes of payload", limits.MAX_HANDSHAKE_BYTES],
  ["PROTOCOL.md", "nest at most 128 deep", limits.MAX_DEPTH],
  ["PROTOCOL.md", "larger than 1,024 bytes", limits.COMPRESSION_THRESHOLD_BYTES],
  ["PROTOCOL.md", "iterations below 4,096", limits.SCRAM_MIN_ITERATIONS],
  ["PROTOCOL.md", "above 1,000,000 (", limits.SCRAM_MAX_ITERATIONS],
  ["PROTOCOL.md", "uses 15,000 unless", limits.SCRAM_ITERATIONS],
  ["PROTOCOL.md", "this library waits 50 ms", limits.NETCONDUIT_WELCOME_HOLD_MS],
  ["PROTOCOL.md", "closes 500 ms after", limits.NETCONDUIT_LINGER_MS],
  ["docs/guide.md", "frames of 16 KiB", limits.MAX_HANDSHAKE_BYTES / 1024],
  ["docs/guide.md", "128 levels", limits.MAX_DEPTH],
  ["docs/guide.md", "is 80 % full", limits.HIGH_WATER_RATIO * 100],
  ["docs/guide.md", "within 5 seconds of its login", limits.STABLE_CONNECTION_MS / 1000],
  ["docs/guide.md", "held back for up to 50 ms", limits.NETCONDUIT_WELCOME_HOLD_MS],
  ["docs/guide.md", "1 KiB per second", limits.MIN_FRAME_BYTES_PER_SECOND / 1024],
  ["PROTOCOL.md", "at least 1,024 bytes per second", limits.MIN_FRAME_BYTES_PER_SECOND],
  ["docs/guide.md", "(32 KiB + bufferSize)", (2 * limits.UNCOUNTED_BYTES) / 1024],
  ["docs/guide.md", "besides the pending logins; 10 seconds each", TLS_HANDSHAKE_TIMEOUT_MS / 1000],
  ["docs/guide.md", "× 32 KiB", (2 * limits.MAX_HANDSHAKE_BYTES) / 1024],
  [
    "docs/guide.md",
    "128 MiB for calls of ack and once",
    (limits.MAX_ONCE_BYTES + limits.MAX_ABANDONED_ONCE_BYTES) / 1024 ** 2,
  ],
  ["PROTOCOL.md", "10,000 such calls", limits.MAX_ABANDONED_ONCE],
  ["PROTOCOL.md", "200,000 keys", limits.MAX_ONCE_KEYS],
  ["docs/guide.md", "16 MiB of memory that is kept", (2 * limits.MAX_SPARE_BYTES) / 1024 ** 2],
  ["docs/guide.md", "513 MiB with the defaults", worstCaseMiB()],
  ["README.md", "send at most 16 KiB per frame", limits.MAX_HANDSHAKE_BYTES / 1024],
];

describe("numbers in the documentation", () => {
  test.each(numbers)('%s says "%s", as the code does', (file, phrase, value) => {
    const text = readText(file).replace(/\s+/g, " ");
    expect(text.includes(phrase)).toBe(true);
    expect(phrase.split(/[^0-9,]+/)).toContain(value.toLocaleString("en-US"));
  });
});
