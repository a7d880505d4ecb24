import { onceChecks } from "./both/once.ts";
import { refusalChecks } from "./both/refusal.ts";
import { unaskedChecks } from "./both/unasked.ts";
import type { Check } from "./check.ts";
import { serverChunkChecks } from "./server/chunks.ts";
import { connectionChecks } from "./server/connection.ts";
import { serverCreditChecks } from "./server/credit.ts";
import { fileChecks } from "./server/files.ts";
import { frameChecks } from "./server/frames.ts";
import { limitChecks } from "./server/limits.ts";
import { loginChecks } from "./server/login.ts";
import { redeliveryChecks } from "./server/once.ts";
import { rpcChecks } from "./server/rpc.ts";
import { sessionChecks } from "./server/sessions.ts";
import { streamChecks } from "./server/streams.ts";
import { tokenChecks } from "./server/tokens.ts";
import { topicChecks } from "./server/topics.ts";
import { valueChecks } from "./server/values.ts";
import { loggedIn, type ServerUnderTest } from "./server-under-test.ts";

/** Everything that is checked on a server. */
export const serverChecks: readonly Check<ServerUnderTest>[] = [
  ...frameChecks,
  ...loginChecks,
  ...tokenChecks,
  ...rpcChecks,
  ...connectionChecks,
  ...serverCreditChecks,
  ...serverChunkChecks,
  ...refusalChecks(loggedIn),
  ...onceChecks(loggedIn),
  ...unaskedChecks(loggedIn),
  ...redeliveryChecks,
  ...streamChecks,
  ...topicChecks,
  ...fileChecks,
  ...sessionChecks,
  ...limitChecks,
  ...valueChecks,
];
