import { describeWire } from "../../../conformance/wire/wire.suite.ts";
import { bunRuntime, Client, Server } from "../src/index.ts";

describeWire({ name: "Bun", Server, Client, runtime: bunRuntime, capabilities: { destroyResets: true } });
