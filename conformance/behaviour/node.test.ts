import { nodeSubject } from "../support/node-subject.ts";
import { describeBehaviour } from "./suites.ts";

describeBehaviour(nodeSubject);
