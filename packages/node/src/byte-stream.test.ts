import { nodeAdapter } from "../../../conformance/adapter/node-adapter.ts";
import { describeSocketPairs } from "../../../conformance/byte-stream/socket-pairs.suite.ts";

describeSocketPairs(nodeAdapter);
