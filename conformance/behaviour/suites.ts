import { describeBroadcast } from "./broadcast.suite.ts";
import { describeChaos } from "./chaos.suite.ts";
import { describeClosing } from "./closing.suite.ts";
import { describeCompression } from "./compression.suite.ts";
import { describeConnections } from "./connections.suite.ts";
import { describeContext } from "./context.suite.ts";
import { describeContract } from "./contract.suite.ts";
import { describeDrain } from "./drain.suite.ts";
import { describeFlow } from "./flow.suite.ts";
import { describeHeartbeats } from "./heartbeats.suite.ts";
import { describeHooks } from "./hooks.suite.ts";
import { describeHostile } from "./hostile.suite.ts";
import { describeLifecycle } from "./lifecycle.suite.ts";
import { describeLimits } from "./limits.suite.ts";
import { describeLogin } from "./login.suite.ts";
import { describeMessages } from "./messages.suite.ts";
import { describeReconnect } from "./reconnect.suite.ts";
import { describeReplies } from "./replies.suite.ts";
import { describeRoom } from "./room.suite.ts";
import { describeRpc } from "./rpc.suite.ts";
import { describeRpcErrors } from "./rpc-errors.suite.ts";
import { describeRpcSchemas } from "./rpc-schemas.suite.ts";
import type { Subject } from "./subject.ts";

/** Everything that a runtime package must do, over real sockets. A test file of a few lines calls it. */
export function describeBehaviour(subject: Subject): void {
  describeLifecycle(subject);
  describeDrain(subject);
  describeHooks(subject);
  describeLogin(subject);
  describeRoom(subject);
  describeConnections(subject);
  describeClosing(subject);
  describeRpc(subject);
  describeRpcSchemas(subject);
  describeRpcErrors(subject);
  describeMessages(subject);
  describeContract(subject);
  describeReplies(subject);
  describeContext(subject);
  describeBroadcast(subject);
  describeFlow(subject);
  describeHeartbeats(subject);
  describeCompression(subject);
  describeReconnect(subject);
  describeLimits(subject);
  describeHostile(subject);
  describeChaos(subject);
}
