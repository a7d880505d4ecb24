import {
  type ClusterAddress,
  type ClusterHost,
  type ClusterLink,
  type ClusterLog,
  type ClusterState,
  ErrorCode,
} from "@netconduit/core";
import { EventLog } from "@netconduit/core/testing";
import { describe, expect, test } from "vitest";
import { Cleanups } from "../support/cleanups.ts";
import { failureOf } from "../support/failures.ts";
import { until } from "../support/turns.ts";
import { type ClusterSubject, type TestCluster, TIMES } from "./subject.ts";

const ALL: ClusterAddress = { kind: "all", name: "" };
const LIMITS = { messages: 100, bytes: 1024 * 1024, ageMs: 600_000 };
const WAIT_MS = 10_000;

/** A node's link and its driver's reports. */
interface TestLink {
  readonly link: ClusterLink;
  readonly states: ClusterState[];
}

class DriverStage extends Cleanups {
  readonly cluster: TestCluster;

  constructor(cluster: TestCluster) {
    super();
    this.cluster = cluster;
    this.defer(() => cluster.close());
  }

  async start(nodeId: string): Promise<TestLink> {
    const states: ClusterState[] = [];
    const host: ClusterHost = {
      nodeId,
      clock: {
        now: () => performance.now(),
        setTimer: (task, delayMs) => setTimeout(task, delayMs),
        clearTimer: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
      },
      stateChanged: (state) => states.push(state),
      messagesLost: () => undefined,
    };
    const link = await this.cluster.driver({ ...TIMES, nodeId }).start(host);
    this.defer(() => link.close());
    return { link, states };
  }

  async link(nodeId: string): Promise<ClusterLink> {
    return (await this.start(nodeId)).link;
  }
}

/** Records messages that arrive at addresses, as text. Resolves when the link is ready. */
async function heard(link: ClusterLink, ...addresses: readonly ClusterAddress[]): Promise<EventLog<string>> {
  const log = new EventLog<string>();
  for (const address of addresses) {
    await link.subscribe(address, (payload) => log.add(new TextDecoder().decode(payload))).ready;
  }
  return log;
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function topic(name: string): ClusterAddress {
  return { kind: "topic", name };
}

/** Requirements of drivers for any engine. */
export function describeClusterDriver({ name, make, capabilities }: ClusterSubject): void {
  const staged = (body: (stage: DriverStage) => Promise<void>) => async (): Promise<void> => {
    const stage = new DriverStage(await make());
    try {
      await body(stage);
    } finally {
      await stage.dispose();
    }
  };

  describe(`a cluster driver: ${name}`, () => {
    test(
      "A message reaches all nodes subscribed to its address except its sender",
      staged(async (stage) => {
        const [a, b, c] = [await stage.link("a"), await stage.link("b"), await stage.link("c")];
        const atA = await heard(a, ALL, topic("end"));
        const atB = await heard(b, ALL, topic("end"));
        const atC = await heard(c, ALL, topic("end"));
        expect(a.publish(ALL, bytes("1"))).toBe("sent");
        expect(b.publish(topic("end"), bytes("end"))).toBe("sent");
        expect(await atA.next()).toBe("end");
        expect(await atB.next()).toBe("1");
        expect([await atC.next(), await atC.next()].sort()).toEqual(["1", "end"]);
      }),
    );

    test(
      "Addresses of different kinds and names are distinct, whatever characters the names contain",
      staged(async (stage) => {
        const [a, b] = [await stage.link("a"), await stage.link("b")];
        const names = [
          "x",
          "X",
          "x.y",
          "x y",
          "*",
          ">",
          "$SYS.x",
          "ä ö",
          "😀",
          "\t",
          "/",
          "x".repeat(256),
          "%2e",
          "-",
          "_",
        ];
        const addresses = [
          ...names.map(topic),
          { kind: "user", name: "x" } as const,
          { kind: "node", name: "x" } as const,
        ];
        const log = new EventLog<string>();
        for (const address of addresses) {
          const label = `${address.kind} ${address.name}`;
          await b.subscribe(address, (payload) => log.add(`${label}: ${new TextDecoder().decode(payload)}`)).ready;
        }
        for (const address of addresses) {
          const label = `${address.kind} ${address.name}`;
          expect(a.publish(address, bytes("hello"))).toBe("sent");
          expect(await log.next()).toBe(`${label}: hello`);
        }
      }),
    );

    test(
      "One sender's messages arrive in order across all addresses",
      staged(async (stage) => {
        const [a, b] = [await stage.link("a"), await stage.link("b")];
        const log = await heard(b, ALL, topic("t"), { kind: "user", name: "u" });
        const addresses = [ALL, topic("t"), { kind: "user", name: "u" } as const];
        for (let n = 0; n < 300; n += 1) a.publish(addresses[n % 3] as ClusterAddress, bytes(String(n)));
        for (let n = 0; n < 300; n += 1) expect(await log.next()).toBe(String(n));
      }),
    );

    test(
      "No message arrives after unsubscribe",
      staged(async (stage) => {
        const [a, b] = [await stage.link("a"), await stage.link("b")];
        const log = await heard(b, ALL);
        const gone = new EventLog<Uint8Array>();
        const subscription = b.subscribe(topic("t"), (payload) => gone.add(payload));
        await subscription.ready;
        subscription.unsubscribe();
        a.publish(topic("t"), bytes("1"));
        a.publish(ALL, bytes("end"));
        expect(await log.next()).toBe("end");
        expect(gone.all).toEqual([]);
      }),
    );

    test(
      "A payload up to maxPayloadBytes arrives unchanged, and a larger one is rejected",
      staged(async (stage) => {
        const [a, b] = [await stage.link("a"), await stage.link("b")];
        const log = new EventLog<Uint8Array>();
        await b.subscribe(ALL, (payload) => log.add(payload)).ready;
        const payload = new Uint8Array(Math.min(a.maxPayloadBytes, 4 * 1024 * 1024)).map((_, index) => index % 251);
        expect(a.publish(ALL, payload)).toBe("sent");
        const arrived = await log.next();
        expect(arrived.length).toBe(payload.length);
        expect(arrived.every((byte, index) => byte === index % 251)).toBe(true);
        expect(a.publish(ALL, new Uint8Array(a.maxPayloadBytes + 1))).toBe("too-large");
      }),
    );

    test(
      "A lost link is detected, keeps nothing published while it is down, and restores its subscriptions",
      staged(async (stage) => {
        const [a, b] = [await stage.link("a"), await stage.start("b")];
        const log = await heard(b.link, ALL);
        await stage.cluster.cut("b");
        await until(() => b.states.includes("reconnecting"));
        expect(b.link.state).toBe("reconnecting");
        expect(b.link.publish(ALL, bytes("lost"))).toBe("disconnected");
        await stage.cluster.heal("b");
        await until(() => b.link.state === "connected");
        a.publish(ALL, bytes("again"));
        expect(await log.next()).toBe("again");
        expect(b.states).toEqual(["reconnecting", "connected"]);
      }),
    );

    test(
      "A node that can't reach the engine starts anyway and connects when it can",
      staged(async (stage) => {
        await stage.cluster.cut("b");
        const b = await stage.start("b");
        expect(b.link.state).toBe("connecting");
        const log = new EventLog<string>();
        b.link.subscribe(ALL, (payload) => log.add(new TextDecoder().decode(payload)));
        await stage.cluster.heal("b");
        await until(() => b.link.state === "connected");
        const a = await stage.link("a");
        a.publish(ALL, bytes("hello"));
        expect(await log.next()).toBe("hello");
      }),
    );

    test(
      "Messages published before close() arrive, and none can be published after it",
      staged(async (stage) => {
        const [a, b] = [await stage.link("a"), await stage.start("b")];
        const log = await heard(a, ALL);
        b.link.publish(ALL, bytes("last"));
        await b.link.close();
        expect(await log.next()).toBe("last");
        expect(b.link.publish(ALL, bytes("x"))).toBe("disconnected");
        expect([b.link.state, b.states]).toEqual(["disconnected", []]);
      }),
    );

    test(
      "Messages and bytes are counted",
      staged(async (stage) => {
        const [a, b] = [await stage.link("a"), await stage.link("b")];
        const log = await heard(b, ALL);
        a.publish(ALL, bytes("12345"));
        await log.next();
        expect(a.stats).toMatchObject({ sentMessages: 1, sentBytes: 5 });
        expect(b.stats).toMatchObject({ receivedMessages: 1, receivedBytes: 5 });
      }),
    );

    test.skipIf(!capabilities.logs)(
      "A log has one order and dense offsets for all nodes, and a message with an id is appended once",
      staged(async (stage) => {
        const [a, b] = [await openLog(stage, "a"), await openLog(stage, "b")];
        const [atA, atB] = [readLog(a, 100), readLog(b, 100)];
        const places = await Promise.all(
          Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? a : b).append(`id${n}`, bytes(`m${n}`), WAIT_MS)),
        );
        const offsets = places.map(({ offset }) => offset);
        expect([...offsets].sort((x, y) => x - y)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
        expect(await a.append("id3", bytes("m3"), WAIT_MS)).toEqual(places[3]);
        await a.append("end", bytes("end"), WAIT_MS);
        const [seenA, seenB] = [await atA.until("end"), await atB.until("end")];
        expect(seenA).toEqual(seenB);
        expect(seenA.map(({ offset }) => offset)).toEqual(Array.from({ length: 21 }, (_, n) => n + 1));
        expect(seenA[(offsets[7] ?? 0) - 1]?.text).toBe("m7");
      }),
    );

    test.skipIf(!capabilities.logs)(
      "A reader starts with the newest messages and learns its start and the newest offset",
      staged(async (stage) => {
        const log = await openLog(stage, "a");
        for (let n = 1; n <= 5; n += 1) await log.append(`id${n}`, bytes(`m${n}`), WAIT_MS);
        const reader = readLog(await openLog(stage, "b"), 2);
        expect((await reader.until("m5")).map(({ text }) => text)).toEqual(["m4", "m5"]);
        expect(reader.starts).toEqual([{ offset: 3, newest: 5 }]);
      }),
    );

    test.skipIf(!capabilities.logs)(
      "A log reports its newest message in its readers' epoch",
      staged(async (stage) => {
        const [a, b] = [await openLog(stage, "a"), await openLog(stage, "b")];
        const before = await b.newest(WAIT_MS);
        expect(before.offset).toBe(0);
        const place = await a.append("1", bytes("m1"), WAIT_MS);
        expect(await b.newest(WAIT_MS)).toEqual(place);
        expect(place).toEqual({ epoch: before.epoch, offset: 1 });
        await stage.cluster.cut("b");
        expect((await failureOf(b.newest(500))).code).toBe(ErrorCode.CLUSTER_UNAVAILABLE);
      }),
    );

    test.skipIf(!capabilities.logs)(
      "A reader continues without gaps or duplicates after a lost link, and appending fails while the link is down",
      staged(async (stage) => {
        const a = await openLog(stage, "a");
        const { link, states } = await stage.start("b");
        const b = (await link.logs?.open("log", LIMITS, WAIT_MS)) as ClusterLog;
        const reader = readLog(b, 100);
        await a.append("1", bytes("m1"), WAIT_MS);
        await reader.until("m1");
        await stage.cluster.cut("b");
        await until(() => states.includes("reconnecting"));
        const failure = await failureOf(b.append("x", bytes("x"), 500));
        expect(failure.code).toBe(ErrorCode.CLUSTER_UNAVAILABLE);
        await a.append("2", bytes("m2"), WAIT_MS);
        await stage.cluster.heal("b");
        await a.append("3", bytes("m3"), WAIT_MS);
        const seen = await reader.until("m3");
        expect(seen.map(({ text }) => text).filter((text) => text !== "x")).toEqual(["m1", "m2", "m3"]);
        expect(reader.starts.length).toBe(1);
      }),
    );

    test.skipIf(!capabilities.records)(
      "A record is put if its revision matches, read by all nodes, and deleted",
      staged(async (stage) => {
        const [a, b] = [await stage.link("a"), await stage.link("b")];
        const atA = await a.records?.open("sessions", 60_000);
        const atB = await b.records?.open("sessions", 60_000);
        const first = await atA?.put("key", bytes("1"), 0);
        expect(first).toBeGreaterThan(0);
        expect(await atB?.put("key", bytes("x"), 0)).toBeNull();
        const record = await atB?.get("key");
        expect([new TextDecoder().decode(record?.value), record?.revision]).toEqual(["1", first]);
        const second = await atB?.put("key", bytes("2"), first as number);
        expect(second).toBeGreaterThan(first as number);
        expect(await atA?.put("key", bytes("x"), first as number)).toBeNull();
        expect(await atA?.put("key", bytes("3"), null)).toBeGreaterThan(second as number);
        await atB?.delete("key");
        expect(await atA?.get("key")).toBeNull();
        expect(await atA?.put("key", bytes("4"), 0)).toBeGreaterThan(0);
        for (const key of ["b.2", "b.1", "a.1", "b.3"]) await atA?.put(key, bytes("x"), null);
        await atA?.delete("b.3");
        expect(await atB?.keys("b.", 10)).toEqual(["b.1", "b.2"]);
        expect(await atB?.keys("", 2)).toEqual(["a.1", "b.1"]);
        expect(await atB?.keys("c.", 10)).toEqual([]);
      }),
    );
  });
}

async function openLog(stage: DriverStage, nodeId: string): Promise<ClusterLog> {
  const link = await stage.link(nodeId);
  return (await link.logs?.open("log", LIMITS, WAIT_MS)) as ClusterLog;
}

interface Entry {
  readonly offset: number;
  readonly text: string;
}

function readLog(log: ClusterLog, last: number) {
  const entries: Entry[] = [];
  const starts: { readonly offset: number; readonly newest: number }[] = [];
  log.read(last, {
    starts: ({ offset }, newest) => starts.push({ offset, newest }),
    entry: (offset, payload) => entries.push({ offset, text: new TextDecoder().decode(payload) }),
  });
  return {
    starts,
    /** Resolves with all entries when this entry has arrived. */
    async until(text: string): Promise<readonly Entry[]> {
      await until(() => entries.some((entry) => entry.text === text));
      return entries;
    },
  };
}
