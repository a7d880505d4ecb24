/** Attacks by peers that ask for files of a folder. */

import { call } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack, AttackContext } from "./lib/attack.ts";

const server = { files: true };

/** Logs in and asks for files by each name in turn, again and again. The answers are read. */
async function askFor(context: AttackContext, connections: number, names: readonly string[]): Promise<void> {
  await context.againInParallel(connections, async () => {
    const socket = await context.logIn();
    let id = 1;
    while (!context.isStopped) {
      const frames: Uint8Array[] = [];
      for (const name of names) {
        for (const method of ["files:stat", "files:remove", "files:offset"]) {
          const params = { folder: "box", name, bytes: 1, modified: 1, resume: true };
          frames.push(call(id, method, params));
          id += 1;
        }
      }
      await socket.write(Buffer.concat(frames));
    }
  });
}

/** Bringing it into its composed form takes time quadratic in its length. */
const MARKS = `a${"\u0301".repeat(40_000)}${"\u0316".repeat(40_000)}`;

export const fileAttacks: readonly Attack[] = [
  {
    name: "requests for files by bad names",
    server,
    run: (context) => askFor(context, 1, ["../a", "NUL", "a/b", "..\\a", "\u202e", ".netconduit", "a".repeat(241)]),
  },
  { name: "requests for files by names of 160 KB of marks", server, run: (context) => askFor(context, 1, [MARKS]) },
];
