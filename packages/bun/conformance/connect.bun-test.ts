import { describeConnect } from "../../../conformance/adapter/connect.suite.ts";
import { bunAdapter } from "./test-support.ts";

describeConnect(bunAdapter);
