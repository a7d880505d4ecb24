import { describeInterop } from "../../../interop/interop.suite.ts";
import { Client, Server } from "../src/index.ts";

await describeInterop({ name: "Bun", Server, Client });
