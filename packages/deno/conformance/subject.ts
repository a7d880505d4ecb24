import { Client, ClientPool, denoRuntime, fileStore, Server, usersFile } from "@netconduit/deno";
import type { Subject } from "../../../conformance/support/subject.ts";

export const denoSubject: Subject = {
  name: "Deno",
  Server,
  Client,
  ClientPool,
  fileStore,
  usersFile,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
};
