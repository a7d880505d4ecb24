import { describeBehaviour } from "../../../conformance/behaviour/suites.ts";
import { denoSubject } from "./subject.ts";

describeBehaviour(denoSubject);
