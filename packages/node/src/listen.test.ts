import { describeListen } from "../../../conformance/adapter/listen.suite.ts";
import { nodeAdapter } from "../../../conformance/adapter/node-adapter.ts";

describeListen(nodeAdapter);
