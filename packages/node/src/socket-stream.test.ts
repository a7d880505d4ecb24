import { nodeAdapter } from "../../../conformance/adapter/node-adapter.ts";
import { describeSocketStream } from "../../../conformance/adapter/socket-stream.suite.ts";

describeSocketStream(nodeAdapter);
