import { describeListen } from "../../../conformance/adapter/listen.suite.ts";
import { bunAdapter } from "./test-support.ts";

describeListen(bunAdapter);
