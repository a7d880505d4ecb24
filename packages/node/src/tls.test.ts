import { nodeAdapter } from "../../../conformance/adapter/node-adapter.ts";
import { describeTls } from "../../../conformance/adapter/tls.suite.ts";

describeTls(nodeAdapter);
