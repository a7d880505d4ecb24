import { describeNatsLogins } from "./logins.suite.ts";
import { describeWithNats } from "./with-nats.ts";

await describeWithNats("logins on Node", describeNatsLogins);
