/** The attacker, on Node.js: raw sockets, none of the library. */

import { serveCommands } from "../bench/lib/serve-commands.ts";
import { attacks } from "./index.ts";
import { AttackContext, type AttackTarget } from "./lib/attack.ts";

let context: AttackContext | null = null;
let failure: unknown = null;

serveCommands({
  start({ name, target }: { name: string; target: AttackTarget }) {
    const attack = attacks.find((one) => one.name === name);
    if (attack === undefined) throw new Error(`No attack is called '${name}'`);
    const fresh = new AttackContext(target);
    context = fresh;
    attack.run(fresh).catch((error: unknown) => {
      if (!fresh.isStopped) failure = error;
    });
  },
  /** Ends the attack. Returns what happened to the attacker. */
  stop() {
    if (failure !== null) throw failure;
    return context?.stop();
  },
});
