import type { Subject } from "../support/subject.ts";
import { describeApi } from "./api.suite.ts";
import { describeAsyncContext } from "./async-context.suite.ts";
import { describeBroadcast } from "./broadcast.suite.ts";
import { describeChaos } from "./chaos.suite.ts";
import { describeChunks } from "./chunks.suite.ts";
import { describeClientKinds } from "./client-kinds.suite.ts";
import { describeClosing } from "./closing.suite.ts";
import { describeCompression } from "./compression.suite.ts";
import { describeConnectionLimits } from "./connection-limits.suite.ts";
import { describeConnections } from "./connections.suite.ts";
import { describeContext } from "./context.suite.ts";
import { describeContract } from "./contract.suite.ts";
import { describeDrain } from "./drain.suite.ts";
import { describeDrainSeenByClients } from "./drain-clients.suite.ts";
import { describeFailures } from "./failures.suite.ts";
import { describeFakeTimers } from "./fake-timers.suite.ts";
import { describeFileNames } from "./file-names.suite.ts";
import { describeFileReconnects } from "./file-reconnects.suite.ts";
import { describeFileRefusals } from "./file-refusals.suite.ts";
import { describeFileResuming } from "./file-resuming.suite.ts";
import { describeFiles } from "./files.suite.ts";
import { describeFlow } from "./flow.suite.ts";
import { describeHeartbeats } from "./heartbeats.suite.ts";
import { describeHooks } from "./hooks.suite.ts";
import { describeHostile } from "./hostile.suite.ts";
import { describeHostileValues } from "./hostile-values.suite.ts";
import { describeInMemory } from "./in-memory.suite.ts";
import { describeLifecycle } from "./lifecycle.suite.ts";
import { describeLimits } from "./limits.suite.ts";
import { describeLogin } from "./login.suite.ts";
import { describeMessages } from "./messages.suite.ts";
import { describeMetadata } from "./metadata.suite.ts";
import { describeMiddleware } from "./middleware.suite.ts";
import { describePool } from "./pool.suite.ts";
import { describeReconnect } from "./reconnect.suite.ts";
import { describeReplies } from "./replies.suite.ts";
import { describeResume } from "./resume.suite.ts";
import { describeRpc } from "./rpc.suite.ts";
import { describeRpcErrors } from "./rpc-errors.suite.ts";
import { describeRpcSchemas } from "./rpc-schemas.suite.ts";
import { describeStore } from "./store.suite.ts";
import { describeStreams } from "./streams.suite.ts";
import { describeTopics } from "./topics.suite.ts";
import { describeUnhandledMessages } from "./unhandled.suite.ts";
import { describeUsers } from "./users.suite.ts";
import { describeValues } from "./values.suite.ts";

/** All required behaviour of servers and clients over TCP. Called from a test file of each runtime. */
export function describeBehaviour(subject: Subject): void {
  describeFeatures(subject);
  describeLoad(subject);
}

/** Suites with little load. */
export function describeFeatures(subject: Subject): void {
  describeLifecycle(subject);
  describeDrain(subject);
  describeDrainSeenByClients(subject);
  describeResume(subject);
  describeStore(subject);
  describeUnhandledMessages(subject);
  describeHooks(subject);
  describeLogin(subject);
  describeUsers(subject);
  describeConnectionLimits(subject);
  describeConnections(subject);
  describeClosing(subject);
  describeRpc(subject);
  describeRpcSchemas(subject);
  describeRpcErrors(subject);
  describeFailures(subject);
  describeMessages(subject);
  describeValues(subject);
  describeContract(subject);
  describeClientKinds(subject);
  describeApi(subject);
  describeReplies(subject);
  describeContext(subject);
  describeAsyncContext(subject);
  describeMiddleware(subject);
  describeMetadata(subject);
  describeFakeTimers(subject);
  describeFiles(subject);
  describeFileNames(subject);
  describeFileResuming(subject);
  describeFileReconnects(subject);
  describeFileRefusals(subject);
  describeBroadcast(subject);
  describeStreams(subject);
  describeHeartbeats(subject);
  describeCompression(subject);
  describeReconnect(subject);
  describePool(subject);
  describeInMemory(subject);
}

/** Suites that send or receive large amounts of data. */
export function describeLoad(subject: Subject): void {
  describeTopics(subject);
  describeFlow(subject);
  describeChunks(subject);
  describeLimits(subject);
  describeHostile(subject);
  describeHostileValues(subject);
  describeChaos(subject);
}
