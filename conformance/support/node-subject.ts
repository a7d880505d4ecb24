import { Client, ClientPool, fileStore, nodeRuntime, Server, usersFile } from "@netconduit/node";
import type { Subject } from "./subject.ts";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

export const nodeSubject: Subject = {
  name: "Node",
  Server,
  Client,
  ClientPool,
  fileStore,
  usersFile,
  runtime: nodeRuntime,
  // Node before 24.16 and Node 25 report a reset as a normal end if there is unread data.
  capabilities: { destroyResets: major >= 26 || (major === 24 && minor >= 16) },
};
