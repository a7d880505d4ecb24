import { nodeSubject } from "../support/node-subject.ts";
import { describeNatsByWebSockets } from "./websocket.suite.ts";

await describeNatsByWebSockets(nodeSubject);
