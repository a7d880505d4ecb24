import { describeTls } from "../../../conformance/adapter/tls.suite.ts";
import { bunAdapter } from "./test-support.ts";

describeTls(bunAdapter);
