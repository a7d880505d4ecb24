import { describeConnect } from "../../../conformance/adapter/connect.suite.ts";
import { denoAdapter } from "./test-support.ts";

describeConnect(denoAdapter);
