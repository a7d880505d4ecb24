import process from "node:process";
import type { Subject } from "../../conformance/support/subject.ts";
import type { RuntimeName } from "../../docs-tests/lib/runtimes.ts";

export const PASSWORD = "correct horse battery staple";
export const HOST = "127.0.0.1";

/** The package of the runtime that this process runs on, from its sources. */
export async function loadPackage(): Promise<Pick<Subject, "Server" | "Client">> {
  const runtime = (process.argv[2] ?? "node") as RuntimeName;
  const { Server, Client } = await import(new URL(`../../packages/${runtime}/src/index.ts`, import.meta.url).href);
  return { Server, Client };
}
