import { describeSocketStream } from "../../../conformance/adapter/socket-stream.suite.ts";
import { denoAdapter } from "./test-support.ts";

describeSocketStream(denoAdapter);
