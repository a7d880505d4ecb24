import { describeNatsByWebSockets } from "../../../conformance/nats/websocket.suite.ts";
import { bunSubject } from "./subject.ts";

await describeNatsByWebSockets(bunSubject);
