import { describe, expect, test } from "vitest";
import { type Choice, pairsOf, planTasks, runTask } from "./harness.ts";
import type { Peer } from "./peer.ts";
import { ResultTable } from "./results.ts";
import { pairName } from "./runtimes.ts";
import type { Plan, Scenario } from "./scenario.ts";

const NODE = { server: "node", client: "node" } as const;
const PLAN: Plan = { quick: false, rounds: 3, seconds: 1, warmupSeconds: 1, maxConnections: 10 };
const CALLS = { name: "calls", unit: "calls/s", better: "higher" } as const;

function peer(name: string, properties: Partial<Peer> = {}): Peer {
  return {
    name,
    title: name,
    usage: "",
    documentation: "",
    runtimes: { server: ["node"], client: ["node"] },
    mixed: false,
    lacks: {},
    missing: async () => null,
    version: async () => "1",
    startServer: () => Promise.reject(new Error("not started in tests")),
    connect: () => Promise.reject(new Error("not started in tests")),
    ...properties,
  };
}

function scenario(properties: Partial<Scenario> = {}): Scenario {
  return {
    name: "rpc",
    title: "",
    description: "",
    needs: ["rpc"],
    pairs: "node",
    peers: null,
    quick: true,
    maxRounds: 10,
    measure: async () => {},
    ...properties,
  };
}

function choice(properties: Partial<Choice> = {}): Choice {
  const runtimes = new Set(["node", "bun", "deno"] as const);
  return { scenarios: [scenario()], peers: [], peersNamed: false, pairs: null, runtimes, plan: PLAN, ...properties };
}

describe("planTasks", () => {
  test("leaves out a peer that lacks a feature, with the reason", () => {
    const table = new ResultTable();
    const peers = [peer("ws"), peer("raw", { lacks: { rpc: "it has no calls", tls: "no TLS" } })];
    const tasks = planTasks(choice({ peers }), table);
    expect(tasks.map((task) => task.peers.map(({ name }) => name))).toEqual([["ws"]]);
    expect(table.absences).toMatchObject([{ peer: "raw", reason: "it has no calls" }]);
  });

  test("runs a scenario for certain peers with others only when they are named", () => {
    const few = { scenarios: [scenario({ peers: ["ws"] })], peers: [peer("ws"), peer("raw")] };
    const names = (peersNamed: boolean): string[] =>
      planTasks(choice({ ...few, peersNamed }), new ResultTable()).flatMap((task) =>
        task.peers.map(({ name }) => name),
      );
    expect([names(false), names(true)]).toEqual([["ws"], ["ws", "raw"]]);
  });

  test("measures a peer on runtimes beyond its usual ones only when it is named", () => {
    const onBun = { scenarios: [scenario()], pairs: [{ server: "bun", client: "bun" }] as const };
    const ws = peer("ws", { runtimes: { server: ["node", "bun"], client: ["node", "bun"] }, usual: ["node"] });
    const count = (peersNamed: boolean): number =>
      planTasks(choice({ ...onBun, peers: [ws], peersNamed }), new ResultTable()).length;
    expect([count(false), count(true)]).toEqual([0, 1]);
  });

  test("measures mixed pairs only with peers that allow them", () => {
    const everywhere = { server: ["node", "bun"], client: ["node", "bun"] } as const;
    const peers = [peer("raw", { runtimes: everywhere }), peer("ours", { runtimes: everywhere, mixed: true })];
    const pairs = [{ server: "node", client: "bun" } as const];
    const table = new ResultTable();
    const tasks = planTasks(choice({ peers, pairs }), table);
    expect(tasks.flatMap((task) => task.peers.map(({ name }) => name))).toEqual(["ours"]);
    expect(table.absences).toMatchObject([{ peer: "raw", pair: "node-bun" }]);
  });

  test("takes no more rounds than the scenario's maximum", () => {
    const scenarios = [scenario({ maxRounds: 2 }), scenario({ maxRounds: 5 })];
    const ws = peer("ws");
    const tasks = planTasks(choice({ scenarios, peers: [ws] }), new ResultTable());
    expect(tasks.map((task) => task.roundsOf(ws))).toEqual([2, 3]);
  });

  test("gives more rounds to closely compared peers: on Node at most those asked for, elsewhere two", () => {
    const scenarios = [scenario({ maxRounds: 1, roundsOfClose: { ws: 2, raw: 9 }, pairs: "each" })];
    const peers = ["ws", "raw", "nats"].map((name) =>
      peer(name, { runtimes: { server: ["node", "bun"], client: ["node", "bun"] } }),
    );
    const tasks = planTasks(choice({ scenarios, peers, plan: { ...PLAN, rounds: 3 } }), new ResultTable());
    expect(tasks.map((task) => peers.map((one) => task.roundsOf(one)))).toEqual([
      [2, 3, 1],
      [2, 2, 1],
    ]);
  });
});

test.each([
  ["node", 1],
  ["each", 3],
  ["all", 9],
] as const)("a scenario on %s has %d pairs of runtimes, and one in a quick run", (pairs, count) => {
  const full = pairsOf(scenario({ pairs }), choice());
  const quick = pairsOf(scenario({ pairs }), choice({ plan: { ...PLAN, quick: true } }));
  expect([new Set(full.map(pairName)).size, quick]).toEqual([count, [NODE]]);
});

describe("runTask", () => {
  test("reverses the order of the peers in every second round", async () => {
    const order: string[] = [];
    const task = { scenario: scenario(), pair: NODE, peers: [peer("a"), peer("b")], roundsOf: () => 3 };
    await runTask(task, PLAN, new ResultTable(), (text) => order.push(text.slice(-1)));
    expect(order.join("")).toBe("abbaab");
  });

  test("leaves out peers that have completed their rounds", async () => {
    const order: string[] = [];
    const roundsOf = ({ name }: Peer): number => (name === "b" ? 3 : 1);
    const task = { scenario: scenario(), pair: NODE, peers: [peer("a"), peer("b"), peer("c")], roundsOf };
    await runTask(task, PLAN, new ResultTable(), (text) => order.push(text));
    expect(order.map((text) => text.slice("rpc on node, ".length))).toEqual([
      "round 1 of 3: a",
      "round 1 of 3: b",
      "round 1 of 3: c",
      "round 2 of 3: b",
      "round 3 of 3: b",
    ]);
  });

  test("records a failure and continues with the next peer and round", async () => {
    const table = new ResultTable();
    let round = 0;
    const measured = scenario({
      async measure({ peer: { name }, sample }) {
        if (name === "a" && round++ === 0) throw new Error("the sum is wrong");
        sample("64", CALLS, 1);
      },
    });
    const task = { scenario: measured, pair: NODE, peers: [peer("a"), peer("b")], roundsOf: () => 2 };
    await runTask(task, PLAN, table, () => {});
    expect(table.absences).toMatchObject([{ peer: "a", reason: "failed in round 1: the sum is wrong" }]);
    expect(table.rows).toMatchObject([
      { peer: "b", samples: [1, 1] },
      { peer: "a", samples: [null, 1] },
    ]);
  });
});
