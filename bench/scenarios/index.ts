import type { Scenario } from "../lib/scenario.ts";
import { beside } from "./beside.ts";
import { binary, payload } from "./binary.ts";
import { broadcast, connections } from "./broadcast.ts";
import { connects } from "./connects.ts";
import { files } from "./files.ts";
import { latency } from "./latency.ts";
import { memberships } from "./memberships.ts";
import { memory } from "./memory.ts";
import { handlers, pairs, request, rpc } from "./rpc.ts";
import { streams } from "./streams.ts";
import { tls } from "./tls.ts";
import { topics } from "./topics.ts";

/** All scenarios, in the order of running and of the tables. */
export const SCENARIOS: readonly Scenario[] = [
  rpc,
  request,
  latency,
  broadcast,
  topics,
  memberships,
  connects,
  memory,
  binary,
  beside,
  streams,
  files,
  connections,
  payload,
  handlers,
  tls,
  pairs,
];
