import { Client, Server } from "@netconduit/deno";
import { describeInterop } from "../../../interop/interop.suite.ts";

await describeInterop({ name: "Deno", Server, Client });
