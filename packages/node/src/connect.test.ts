import { describeConnect } from "../../../conformance/adapter/connect.suite.ts";
import { nodeAdapter } from "../../../conformance/adapter/node-adapter.ts";

describeConnect(nodeAdapter);
