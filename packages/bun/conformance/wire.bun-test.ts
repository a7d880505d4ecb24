import { describeWire } from "../../../conformance/wire/wire.suite.ts";
import { bunRuntime, Client, ClientPool, Server } from "../src/index.ts";

describeWire({ name: "Bun", Server, Client, ClientPool, runtime: bunRuntime, capabilities: { destroyResets: true } });
