import { describeBehaviour } from "../../../conformance/behaviour/suites.ts";
import { bunSubject } from "./subject.ts";

describeBehaviour(bunSubject);
