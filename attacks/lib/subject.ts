import process from "node:process";
import type { Subject } from "../../conformance/support/subject.ts";
import type { RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import { testFile } from "../../packages/node/test-data/tls/files.ts";

export const PASSWORD = "correct horse battery staple";
export const HOST = "127.0.0.1";

/** A server's address: a port of {@link HOST}, or a Unix socket. */
export interface Place {
  readonly port: number;
  readonly path?: string;
}

/** Returns the options of a client or socket for this address. */
export function addressOf({ port, path }: Place): { path: string } | { host: string; port: number } {
  return path === undefined ? { host: HOST, port } : { path };
}

/** File names, because each process reads the files itself. */
export const SERVER_TLS = { cert: testFile("server.crt"), key: testFile("server.key") };
export const CLIENT_TLS = { ca: testFile("ca.crt") };

/** Loads the package of the current runtime from its sources. */
export async function loadPackage(): Promise<Pick<Subject, "Server" | "Client">> {
  const runtime = (process.argv[2] ?? "node") as RuntimeName;
  const { Server, Client } = await import(new URL(`../../packages/${runtime}/src/index.ts`, import.meta.url).href);
  return { Server, Client };
}
