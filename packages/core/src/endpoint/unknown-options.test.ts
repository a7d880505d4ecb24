import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scramVerifier } from "../auth/verifier.ts";
import { MemoryCluster } from "../cluster/memory/memory-cluster.ts";
import { ErrorCode } from "../errors.ts";
import { ClientPool } from "../pool/client-pool.ts";
import { memoryStore } from "../store/memory-store.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import { type ConnectedPair, connectedPair } from "../testing/connected-pair.ts";
import { TestNetwork } from "../testing/test-network.ts";

// biome-ignore lint/suspicious/noExplicitAny: plain JavaScript passes anything
type Any = any;

let pair: ConnectedPair<Any, Any>;
let pool: ClientPool;

beforeAll(async () => {
  pair = await connectedPair({ server: { resume: { store: memoryStore() } } });
  pool = new ClientPool({ servers: [{ host: "memory", port: 1 }], password: "p" }, pair.network.runtime);
});

afterAll(() => pair.close());

const rpc = (): void => undefined;
const news = () => {
  const topics = pair.server.topics("news:*", { authorize: () => true });
  topics.close();
  return topics.topic("news:a");
};

/** Name of the call, a call with a misspelled option, and the message, which contains the intended option. */
const CALLS: readonly [called: string, run: () => unknown, message: string][] = [
  ["call", () => pair.client.call("m", {}, { tiemoutMs: 1 } as Any), 'tiemoutMs of call("m"); did you mean timeoutMs?'],
  ["api", () => (pair.client as Any).api.a.b({}, { sginal: 1 }), 'sginal of call("a.b"); did you mean signal?'],
  ["request", () => pair.client.request("m", 1, { once: "k" } as Any), 'once of request("m"); it takes meta, '],
  ["send", () => pair.client.send("m", 1, { akc: true } as Any), 'akc of send("m"); did you mean ack?'],
  [
    "send with ack",
    () => pair.client.send("m", 1, { ack: true, mta: {} } as Any),
    'mta of send("m"); did you mean meta?',
  ],
  [
    "ack",
    () => pair.client.send("m", 1, { ack: { atempts: 3 } } as Any),
    'atempts of send: ack("m"); did you mean attempts?',
  ],
  [
    "callNoWait",
    () => pair.client.callNoWait("m", {}, { timeoutMs: 1 } as Any),
    'timeoutMs of callNoWait("m"); it takes meta',
  ],
  [
    "stream",
    () => pair.client.stream("s", {}, { ouptut: 1 } as Any).next(),
    'ouptut of stream("s"); did you mean output?',
  ],
  ["discover", () => pair.client.discover({ timeout: 1 } as Any), "timeout of discover(); did you mean timeoutMs?"],
  [
    "publish",
    () => pair.client.publish("t", 1, { timeout: 1 } as Any),
    'timeout of publish("t"); did you mean timeoutMs?',
  ],
  ["subscribe", () => pair.client.subscribe("t", { bufer: 1 } as Any), 'bufer of subscribe("t"); did you mean buffer?'],
  ["connected", () => pair.client.connected({ timeout: 1 } as Any), "timeout of connected(); did you mean timeoutMs?"],
  [
    "upload",
    () => pair.client.files("f").upload("x", { resum: true } as Any),
    "resum of files.upload(); did you mean resume?",
  ],
  [
    "download",
    () => pair.client.files("f").download("x", ".", { overwrit: 1 } as Any),
    'overwrit of files.download("x"); did you',
  ],
  [
    "bytes",
    () => pair.client.files("f").bytes("x", { resume: true } as Any),
    'resume of files.bytes("x"); it takes signal',
  ],
  ["list", () => pair.client.files("f").list({ timeoutMs: 1 } as Any), "timeoutMs of files.list(); it takes signal"],
  ["stat", () => pair.client.files("f").stat("x", { sig: 1 } as Any), 'sig of files.stat("x"); it takes signal'],
  [
    "remove",
    () => pair.client.files("f").remove("x", { signa: 1 } as Any),
    'signa of files.remove("x"); did you mean signal?',
  ],
  ["rpc", () => pair.server.rpc({ name: "r", role: ["a"] } as Any, rpc), 'role of rpc("r"); did you mean roles?'],
  [
    "server.stream",
    () => pair.server.stream({ name: "s", result: 1 } as Any, rpc as Any),
    'result of stream("s"); it takes name',
  ],
  ["on", () => pair.server.on("m", rpc, { role: ["a"] } as Any), 'role of on("m"); did you mean roles?'],
  ["group.on", () => pair.server.group().on("m", rpc, { role: ["a"] } as Any), 'role of on("m"); did you mean roles?'],
  [
    "server.send",
    () => pair.server.send("id", "m", 1, { timeoutMs: 5 } as Any),
    'timeoutMs of server.send("id"); it takes meta, ack',
  ],
  [
    "broadcast",
    () => pair.server.broadcast("m", 1, { exlude: "id" } as Any),
    'exlude of broadcast("m"); did you mean exclude?',
  ],
  [
    "clients(kind).broadcast",
    () => (pair.server as Any).clients("k").broadcast("m", 1, { includes: 1 }),
    "did you mean include?",
  ],
  ["count", () => pair.server.count({ were: {} } as Any), "were of server.count(); did you mean where?"],
  [
    "listConnections",
    () => pair.server.listConnections({ limits: 1 } as Any),
    "limits of server.listConnections(); did you",
  ],
  [
    "deadLetters.list",
    () => pair.server.deadLetters.list({ limt: 1 } as Any),
    "limt of deadLetters.list(); did you mean limit?",
  ],
  ["topic", () => pair.server.topic("t", { retian: 1 } as Any), "retian of topic 't'; did you mean retain?"],
  [
    "topic.publish",
    () => news().publish(1, { exlude: "id" } as Any),
    "exlude of topic.publish(); did you mean exclude?",
  ],
  ["topic.append", () => news().append(1, { key: "k" } as Any), "key of topic.append(); it takes id"],
  ["topic.add", () => news().add(pair.connection, { usr: "ada" } as Any), "usr of topic.add(); did you mean user?"],
  ["stop", () => pair.server.stop({ drain: 1 } as Any), "drain of server.stop(); did you mean drainMs?"],
  ["run", () => pair.server.run({ signals: 1 } as Any), "signals of server.run(); did you mean signal?"],
  [
    "close",
    () => pair.connection.close("bye", { reconect: true } as Any),
    "reconect of connection.close(); did you mean reconnect?",
  ],
  ["pool.connect", () => pool.connect({ al: true } as Any), "al of pool.connect(); did you mean all?"],
  ["callAll", () => pool.callAll("m", {}, { once: "k" } as Any), 'once of callAll("m"); it takes meta'],
  [
    "pool.publish",
    () => pool.publish("t", 1, { timeout: 1 } as Any),
    'timeout of publish("t"); did you mean timeoutMs?',
  ],
  ["pool.subscribe", () => pool.subscribe("t", { bufer: 1 } as Any), 'bufer of subscribe("t"); did you mean buffer?'],
  [
    "scramVerifier",
    () => scramVerifier("p", pair.network.runtime, { iteration: 1 } as Any),
    "did you mean iterations?",
  ],
  ["memoryStore", () => memoryStore({ nwo: 1 } as Any), "nwo of memoryStore(); did you mean now?"],
  [
    "fileStore",
    () => openSqliteStore({} as Any, "a.db", { fsnc: 1 } as Any),
    'fsnc of fileStore("a.db"); did you mean fsync?',
  ],
  [
    "MemoryCluster",
    () => new MemoryCluster({ delay: 1 } as Any),
    "delay of new MemoryCluster(); did you mean delayMs?",
  ],
  ["TestNetwork", () => new TestNetwork({ runtim: 1 } as Any), "runtim of new TestNetwork(); did you mean runtime?"],
  ["connectedPair", () => connectedPair({ servr: {} } as Any), "servr of connectedPair(); did you mean server?"],
];

describe("an unknown option is refused with INVALID_CONFIG, and the nearest name", () => {
  test.each(CALLS)("%s", async (_called, run, message) => {
    const call = (async () => await run())();
    await expect(call).rejects.toMatchObject({
      code: ErrorCode.INVALID_CONFIG,
      message: expect.stringContaining(`Unknown option ${message.startsWith("did") ? "" : message}`),
    });
    await expect(call).rejects.toThrow(message);
  });

  test("functions that return a promise or a stream reject, and don't throw", () => {
    const promises = [
      pair.client.call("m", {}, { x: 1 } as Any),
      pair.client.request("m", 1, { x: 1 } as Any),
      pair.client.send("m", 1, { ack: true, x: 1 } as Any),
      pair.connection.close("bye", { x: 1 } as Any),
      pair.server.stop({ x: 1 } as Any),
      pair.client.stream("m", {}, { x: 1 } as Any).next(),
    ];
    return Promise.all(promises.map((promise) => expect(promise).rejects.toThrow("Unknown option x of ")));
  });

  test("nothing happened: the server runs, the connection is open, and nothing was sent", async () => {
    await pair.clock.settle();
    expect([pair.server.isRunning, pair.client.isConnected]).toEqual([true, true]);
    expect(pair.client.stats?.messagesSent).toBe(0);
  });
});

test.each([
  ["call", () => pair.client.call("m", {}, v.number() as Any), "pass it as { result: schema }"],
  ["stream", () => pair.client.stream("s", {}, v.number() as Any).next(), "pass it as { output: schema }"],
])("a schema in the place of the options of %s is told where it belongs", async (_called, run, advice) => {
  const refused = expect((async () => await run())()).rejects;
  await refused.toMatchObject({ code: ErrorCode.INVALID_CONFIG, message: expect.stringContaining(advice) });
});

test("server.send to a user refuses meta, which a broadcast doesn't carry", () => {
  const meta = { trace: "1" };
  expect(() => pair.server.send({ user: "ada" }, "m", 1, { meta })).toThrow("Cannot send 'm' to a user with meta");
});

test.each<[string, () => unknown]>([
  ["call", () => pair.client.call("m", {}, { parent: {} } as Any)],
  ["request", () => pair.client.request("m", 1, { parent: {} } as Any)],
  ["stream", () => pair.client.stream("m", {}, { parent: {} } as Any).next()],
  ["publish", () => pair.client.publish("m", 1, { parent: {} } as Any)],
  ["pool.publish", () => pool.publish("m", 1, { parent: {} } as Any)],
  ["callAll", () => pool.callAll("m", {}, { parent: {} } as Any)],
])("%s looks at its option parent", async (_called, run) => {
  await expect(run()).rejects.toThrow("parent of 'm' must be the context of a handler, got an object");
});
