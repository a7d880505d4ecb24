import { closingChecks } from "./both/closing.ts";
import { compressionChecks } from "./both/compression.ts";
import { heartbeatChecks } from "./both/heartbeats.ts";
import { onceChecks } from "./both/once.ts";
import { refusalChecks } from "./both/refusal.ts";
import { streamChecks } from "./both/streams.ts";
import { unaskedChecks } from "./both/unasked.ts";
import type { Check } from "./check.ts";
import { certificateChecks } from "./server/certificates.ts";
import { serverChunkChecks } from "./server/chunks.ts";
import { connectionChecks } from "./server/connection.ts";
import { serverCreditChecks } from "./server/credit.ts";
import { drainingChecks } from "./server/draining.ts";
import { fileChecks } from "./server/files.ts";
import { frameChecks } from "./server/frames.ts";
import { guessChecks } from "./server/guesses.ts";
import { lastFrameChecks } from "./server/last-frames.ts";
import { limitChecks } from "./server/limits.ts";
import { loginChecks } from "./server/login.ts";
import { fullOnceChecks, redeliveryChecks } from "./server/once.ts";
import { plainChecks } from "./server/plain.ts";
import { requestChecks } from "./server/requests.ts";
import { restartChecks } from "./server/restarts.ts";
import { rpcChecks } from "./server/rpc.ts";
import { sessionChecks } from "./server/sessions.ts";
import { suspendedChecks } from "./server/suspended.ts";
import { tokenChecks } from "./server/tokens.ts";
import { topicChecks } from "./server/topics.ts";
import { valueChecks } from "./server/values.ts";
import { loggedIn, type ServerUnderTest } from "./server-under-test.ts";

/** All checks of a server. */
export const serverChecks: readonly Check<ServerUnderTest>[] = [
  ...frameChecks,
  ...loginChecks,
  ...tokenChecks,
  ...certificateChecks,
  ...rpcChecks,
  ...connectionChecks,
  ...serverCreditChecks,
  ...serverChunkChecks,
  ...refusalChecks(loggedIn),
  ...onceChecks(loggedIn),
  ...unaskedChecks(loggedIn),
  ...closingChecks(loggedIn),
  ...compressionChecks(loggedIn),
  ...heartbeatChecks(loggedIn),
  ...redeliveryChecks,
  ...streamChecks(loggedIn),
  ...topicChecks,
  ...fileChecks,
  ...sessionChecks,
  ...limitChecks,
  ...valueChecks,
  ...suspendedChecks,
  ...restartChecks,
  ...drainingChecks,
  ...lastFrameChecks,
  ...requestChecks,
  ...plainChecks,
  // Last, because they exhaust the server's limits.
  ...fullOnceChecks,
  ...guessChecks,
];
