import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import type { Scenario } from "../scenario.ts";

const MIB = 1024 * 1024;

/** Creates values of every kind. Each call creates new values, so that no value is compared with itself. */
function everyKind(): Record<string, unknown> {
  return {
    text: "Grüße, 世界 🚀 \u0000 e\u0301 \u{10ffff}",
    lengths: [0, 31, 32, 255, 256, 65_535, 65_536].map((length) => "ü".repeat(length)),
    binaries: [0, 255, 256, 65_536].map((length) => new Uint8Array(length).fill(length)),
    dates: [0, 1, 1_767_225_600_123, -86_400_000, 253_402_300_799_999].map((ms) => new Date(ms)),
    integers: [0, 1, 127, 128, 255, 256, 65_536, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER],
    negatives: [-1, -32, -33, -128, -129, -32_769, -(2 ** 31) - 1, Number.MIN_SAFE_INTEGER],
    bigints: [2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 53n), -(2n ** 63n)],
    floats: [0.1, 1e300, 5e-324, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
    flags: [true, false, null],
    lists: [[], [[]], Array.from({ length: 70_000 }, (_, n) => n % 7)],
    maps: { empty: {}, "": "no name", "ключ 🔑": { deep: { deeper: [{ deepest: null }] } } },
  };
}

/** Returns incompressible bytes, identical in every process. */
function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  let word = seed;
  for (let n = 0; n < words.length; n++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    words[n] = word;
  }
  return new Uint8Array(words.buffer);
}

function sha256(bytes: unknown): string {
  assert.ok(bytes instanceof Uint8Array);
  return createHash("sha256").update(bytes).digest("hex");
}

/** Sends large values as parameters, results and messages in both directions. */
function largeScenario(mib: number, options: { enableCompression: boolean }): Scenario {
  const how = options.enableCompression ? "compressed where that helps" : "as they are";
  const expected = (seed: number): string => sha256(noise(mib * MIB, seed));
  return {
    title: `binaries of ${mib} MiB travel both ways, ${how}, as calls and as messages`,
    async server(half) {
      const server = half.server(options);
      server.rpc("sum", ({ bytes }) => sha256(bytes));
      server.rpc("make", ({ seed }) => noise(mib * MIB, Number(seed)));
      const heard = new EventLog<unknown>();
      server.on("large", (_connection, data) => void heard.add(data));
      const connection = await (await half.open(server)).next();
      assert.equal(sha256(await heard.next()), expected(3));
      connection.send("large", noise(mib * MIB, 4));
    },
    async client(half) {
      const client = await half.client(options);
      const heard = new EventLog<unknown>();
      client.on("large", heard.add);
      await client.connect();
      assert.equal(await client.call("sum", { bytes: noise(mib * MIB, 1) }), expected(1));
      assert.equal(sha256(await client.call("make", { seed: 2 })), expected(2));
      client.send("large", noise(mib * MIB, 3));
      assert.equal(sha256(await heard.next()), expected(4));
    },
  };
}

/** A large repetitive value arrives intact, compressed if both ends enable compression. */
function compressionScenario(server: boolean, client: boolean): Scenario {
  const words = (on: boolean): string => (on ? "on" : "off");
  const text = Array.from({ length: 10_000 }, (_, n) => `compress me ${n} `).join("");
  const isSmall = (bytes: number): boolean => bytes < text.length / 2;
  return {
    title: `compression ${words(server)} at the server and ${words(client)} at the client: both compress if both have it on`,
    async server(half) {
      const endpoint = half.server({ enableCompression: server });
      endpoint.rpc("echo", (params) => params);
      const connection = await (await half.open(endpoint)).next();
      await half.waitFor("done");
      const { bytesReceived, bytesSent } = connection.stats;
      const both = client && server;
      assert.deepEqual([isSmall(bytesReceived), isSmall(bytesSent)], [both, both]);
    },
    async client(half) {
      const endpoint = await half.join({ enableCompression: client });
      assert.deepEqual(await endpoint.call("echo", { text }), { text });
      half.tell("done");
    },
  };
}

/** Values: small and large, plain and compressed. */
export const values: readonly Scenario[] = [
  {
    title: "every kind of value survives the way to the server and back, none rounded",
    async server(half) {
      const server = half.server();
      server.rpc("echo", (params) => {
        assert.deepEqual(params, everyKind());
        return params;
      });
      server.on("echo", (_connection, data) => data);
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      assert.deepEqual(await client.call("echo", everyKind()), everyKind());
      assert.deepEqual(await client.request("echo", everyKind()), everyKind());
    },
  },
  {
    title: "every kind of value survives the way to the client and back, none rounded",
    async server(half) {
      const server = half.server();
      const connection = await (await half.open(server)).next();
      await half.waitFor("ready");
      assert.deepEqual(await connection.call("echo", everyKind()), everyKind());
      assert.deepEqual(await connection.request("echo", everyKind()), everyKind());
      server.broadcast("news", everyKind());
      await half.waitFor("done");
    },
    async client(half) {
      const client = await half.client();
      client.rpc("echo", (params) => params);
      client.on("echo", (data) => data);
      const news = new EventLog<unknown>();
      client.on("news", news.add);
      await client.connect();
      half.tell("ready");
      assert.deepEqual(await news.next(), everyKind());
      half.tell("done");
    },
  },
  largeScenario(1, { enableCompression: false }),
  largeScenario(8, { enableCompression: false }),
  largeScenario(1, { enableCompression: true }),
  compressionScenario(true, true),
  compressionScenario(true, false),
  compressionScenario(false, true),
  compressionScenario(false, false),
];
