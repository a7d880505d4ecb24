import { fileAttacks } from "./files.ts";
import { floods } from "./floods.ts";
import { hostileServers } from "./hostile-servers.ts";
import type { Attack } from "./lib/attack.ts";
import { loginAttacks } from "./logins.ts";
import { malformedAttacks } from "./malformed.ts";
import { memoryAttacks } from "./memory.ts";
import { streamAttacks } from "./streams.ts";
import { topicAttacks } from "./topics.ts";

/** All attacks, in the order of the table. */
export const attacks: readonly Attack[] = [
  ...floods,
  ...memoryAttacks,
  ...streamAttacks,
  ...topicAttacks,
  ...fileAttacks,
  ...loginAttacks,
  ...malformedAttacks,
  ...hostileServers,
];
