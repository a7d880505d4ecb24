import { Client, Server } from "@netconduit/node";
import { describeInterop } from "./interop.suite.ts";

await describeInterop({ name: "Node", Server, Client });
