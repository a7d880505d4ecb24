import { Client, nodeRuntime, Server } from "@netconduit/node";
import { describeWire } from "./wire.suite.ts";

describeWire({ name: "Node", Server, Client, runtime: nodeRuntime, capabilities: { destroyResets: false } });
