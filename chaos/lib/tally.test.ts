import { describe, expect, test } from "vitest";
import type { Entries } from "./journal.ts";
import { tallyOf } from "./tally.ts";
import type { Mode } from "./workload.ts";

/** Tally of a lane with ids 0 to 2, of which a server handled 0 and 1, and, when that was killed, the next one 1 and 2. */
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
