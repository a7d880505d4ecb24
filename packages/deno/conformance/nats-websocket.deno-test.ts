import { describeNatsByWebSockets } from "../../../conformance/nats/websocket.suite.ts";
import { denoSubject } from "./subject.ts";

await describeNatsByWebSockets(denoSubject);
