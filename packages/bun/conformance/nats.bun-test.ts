import { describeNats } from "../../../conformance/nats/suites.ts";
import { bunSubject } from "./subject.ts";

await describeNats(bunSubject);
