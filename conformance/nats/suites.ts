import { describeClusterDriver } from "../many-nodes/driver.suite.ts";
import { describeManyNodes } from "../many-nodes/nodes.suite.ts";
import type { Subject } from "../support/subject.ts";
import { describeNatsDamage } from "./damage.suite.ts";
import { describeNatsFailures } from "./failures.suite.ts";
import { describeNatsLink } from "./link.suite.ts";
import { natsSubject } from "./nats-subject.ts";
import { describeWithNats } from "./with-nats.ts";

/** All of a runtime's tests that need a nats-server. */
export function describeNats(runtime: Subject): Promise<void> {
  return describeWithNats(`NATS on ${runtime.name}`, (nats) => {
    describeNatsLink(nats);
    describeNatsFailures(nats);
    describeNatsDamage(nats);
    const subject = natsSubject(nats);
    describeClusterDriver(subject);
    describeManyNodes(runtime, subject);
  });
}
