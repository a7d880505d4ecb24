import { describeBroadcast } from "./broadcast.suite.ts";
import { describeConnections } from "./connections.suite.ts";
import { describeContext } from "./context.suite.ts";
import { describeFlow } from "./flow.suite.ts";
import { describeHostile } from "./hostile.suite.ts";
import { describeLifecycle } from "./lifecycle.suite.ts";
import { describeLiveness } from "./liveness.suite.ts";
import { describeLogin } from "./login.suite.ts";
import { describeMessages } from "./messages.suite.ts";
import { describeRpc } from "./rpc.suite.ts";
import type { Subject } from "./subject.ts";

/** Everything that a runtime package must do, over real sockets. A test file of a few lines calls it. */
export function describeBehaviour(subject: Subject): void {
  describeRpc(subject);
  describeMessages(subject);
  describeContext(subject);
  describeLogin(subject);
  describeLifecycle(subject);
  describeConnections(subject);
  describeBroadcast(subject);
  describeFlow(subject);
  describeLiveness(subject);
  describeHostile(subject);
}
