/** The attacker process, on Node.js: uses raw sockets instead of the library. */

import { serveCommands } from "../bench/lib/serve-commands.ts";
import { attacks } from "./index.ts";
import { AttackContext } from "./lib/attack.ts";
import type { Place } from "./lib/subject.ts";

let context: AttackContext | null = null;
let failure: unknown = null;

serveCommands({
  /** Starts the attack. Returns the port if the attacker is a server. */
  async start({ name, target }: { name: string; target: Place }): Promise<number> {
    const attack = attacks.find((one) => one.name === name);
    if (attack === undefined) throw new Error(`No attack is called '${name}'`);
    const fresh = new AttackContext(target);
    context = fresh;
    if (attack.isServer === true) return (await attack.run(fresh)) as number;
    attack.run(fresh).catch((error: unknown) => {
      if (!fresh.isStopped) failure = error;
    });
    return 0;
  },
  /** Returns the attacker's outcome so far. */
  look() {
    return context?.outcome;
  },
  /** Ends the attack. Returns its outcome. */
  stop() {
    if (failure !== null) throw failure;
    return context?.stop();
  },
});
