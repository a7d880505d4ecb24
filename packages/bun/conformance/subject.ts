import type { Subject } from "../../../conformance/support/subject.ts";
import { bunRuntime, Client, ClientPool, fileStore, Server, usersFile } from "../src/index.ts";

export const bunSubject: Subject = {
  name: "Bun",
  Server,
  Client,
  ClientPool,
  fileStore,
  usersFile,
  runtime: bunRuntime,
  capabilities: { destroyResets: true },
};
