import { describe, expect, test } from "vitest";
import type { Entries } from "./journal.ts";
import { tallyOf } from "./tally.ts";
import type { Mode } from "./workload.ts";

/** Tally of a lane with ids 0 to 2: a server handled 0 and 1; after it was killed, the next one handled 1 and 2. */
function tallyOfNextServer(mode: Mode, lane: string) {
  const journals = [
    [0, 1],
    [1, 2],
  ].map((ids, incarnation): Entries => {
    return { side: "server", incarnation, marks: new Map([["got", new Map([[lane, ids]])]]) };
  });
  const { double, again } = tallyOf(mode, new Map([[lane, 3]]), journals);
  return { double, again };
}

describe("what the next server handles again", () => {
  test.each([
    ["kills", "c0>message", "double"],
    ["kills", "c0>ack", "again"],
    ["kills", "c0>once", "again"],
    ["store", "c0>message", "again"],
    ["store", "c0>ack", "double"],
    ["store", "c0>once", "double"],
    ["store", "c0<message", "double"],
    ["store", "c0<ack", "again"],
  ] as const)("counts in a run of %s, in lane %s, as %s", (mode, lane, column) => {
    expect(tallyOfNextServer(mode, lane)).toEqual({ double: 0, again: 0, [column]: 1 });
  });
});

/** Tally of a lane with ids 0 to 9, of which `got` were handled, after kills of a server and of a client. */
function lossesOf(mode: Mode, lane: string, got: readonly number[], kills: { server: number; client: number }) {
  const journals = (["server", "client"] as const).flatMap((side) =>
    Array.from({ length: kills[side] + 1 }, (_, incarnation): Entries => {
      const isReceiver = lane.includes(">") === (side === "server") && incarnation === kills[side];
      return { side, incarnation, marks: new Map([["got", new Map(isReceiver ? [[lane, got]] : [])]]) };
    }),
  );
  const { lost, unpromised } = tallyOf(mode, new Map([[lane, 10]]), journals);
  return { lost, unpromised };
}

describe("plain messages that are missing", () => {
  const [one, two] = [
    [0, 1, 2, 6, 7, 8, 9],
    [0, 2, 3, 7, 8, 9],
  ];
  const [server, client] = [
    { server: 1, client: 0 },
    { server: 0, client: 1 },
  ];

  test.each([
    ["cuts", "c0>message", one, server, { lost: 3, unpromised: 0 }],
    ["kills", "c0>message", one, server, { lost: 0, unpromised: 3 }],
    ["kills", "c0>message", two, server, { lost: 1, unpromised: 3 }],
    ["kills", "c0>message", two, { server: 1, client: 1 }, { lost: 0, unpromised: 4 }],
    ["kills", "c0>ack", one, server, { lost: 3, unpromised: 0 }],
    ["store", "c0>message", one, server, { lost: 3, unpromised: 0 }],
    ["store", "c0>message", one, client, { lost: 0, unpromised: 3 }],
    ["store", "c0<message", one, server, { lost: 0, unpromised: 3 }],
    ["disk", "c0<message", two, server, { lost: 1, unpromised: 3 }],
  ] as const)(
    "in a run of %s, in lane %s, when %j were handled after kills %j, count as %j",
    (mode, lane, got, kills, sums) => {
      expect(lossesOf(mode, lane, got, kills)).toEqual(sums);
    },
  );
});

describe("ids that came behind a later one", () => {
  test.each([
    ["cuts", "c0>message", 1],
    ["cuts", "c0>ack", 1],
    ["cuts", "c0<ack", 1],
    ["cuts", "c0>once", 0],
    ["kills", "c0>ack", 1],
    ["kills", "c0<ack", 0],
    ["store", "c0>ack", 1],
    ["disk", "c0>ack", 0],
  ] as const)("in a run of %s, in lane %s, count as %i", (mode, lane, disordered) => {
    const side = lane.includes(">") ? "server" : "client";
    const journal: Entries = { side, incarnation: 0, marks: new Map([["got", new Map([[lane, [0, 2, 1]]])]]) };
    expect(tallyOf(mode, new Map([[lane, 3]]), [journal])).toMatchObject({ disordered, lost: 0 });
  });
});
