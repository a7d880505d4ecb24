import { describeListen } from "../../../conformance/adapter/listen.suite.ts";
import { denoAdapter } from "./test-support.ts";

describeListen(denoAdapter);
