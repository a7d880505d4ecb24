import { nodeSubject } from "../support/node-subject.ts";
import { describeNats } from "./suites.ts";

await describeNats(nodeSubject);
