import { nodeSubject } from "../support/node-subject.ts";
import { describeFeatures } from "./suites.ts";

describeFeatures(nodeSubject);
