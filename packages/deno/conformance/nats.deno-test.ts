import { describeNats } from "../../../conformance/nats/suites.ts";
import { denoSubject } from "./subject.ts";

await describeNats(denoSubject);
