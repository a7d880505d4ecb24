import process from "node:process";
import type { Runtime } from "@netconduit/core/adapter";
import type { RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import type { Subject } from "../support/subject.ts";
import type { MatrixSubject } from "./half.ts";

const CAPABILITIES: Readonly<Record<RuntimeName, MatrixSubject["capabilities"]>> = {
  // Node 22 reports a reset as a normal end if there is unread data.
  node: {
    destroyResets: Number.parseInt(process.versions.node, 10) >= 24,
    tlsProtocol: true,
    clientCertificates: true,
    tlsAlerts: false,
  },
  bun: { destroyResets: true, tlsProtocol: true, clientCertificates: true, tlsAlerts: true },
  deno: { destroyResets: false, tlsProtocol: false, clientCertificates: false, tlsAlerts: true },
};

function isRuntimeName(name: string): name is RuntimeName {
  return Object.hasOwn(CAPABILITIES, name);
}

/** Loads the runtime package with this name from its sources. Only works on the package's own runtime. */
export async function subjectOf(name: string): Promise<MatrixSubject> {
  if (!isRuntimeName(name)) throw new Error(`Expected node, bun or deno, got '${name}'`);
  const source = new URL(`../../packages/${name}/src/index.ts`, import.meta.url).href;
  const { Server, Client, ClientPool, fileStore, usersFile, [`${name}Runtime`]: runtime } = await import(source);
  return {
    name,
    Server: Server as Subject["Server"],
    Client: Client as Subject["Client"],
    ClientPool: ClientPool as Subject["ClientPool"],
    fileStore: fileStore as Subject["fileStore"],
    usersFile: usersFile as Subject["usersFile"],
    runtime: runtime as Runtime,
    capabilities: CAPABILITIES[name],
  };
}
