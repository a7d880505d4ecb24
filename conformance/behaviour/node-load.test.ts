import { nodeSubject } from "../support/node-subject.ts";
import { describeLoad } from "./suites.ts";

describeLoad(nodeSubject);
