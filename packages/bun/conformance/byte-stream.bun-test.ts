import { describeMemoryPair } from "../../../conformance/byte-stream/memory-pair.suite.ts";
import { describeSocketPairs } from "../../../conformance/byte-stream/socket-pairs.suite.ts";
import { bunAdapter } from "./test-support.ts";

describeMemoryPair("Bun");
describeSocketPairs(bunAdapter);
