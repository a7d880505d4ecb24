import { createPrivateKey, X509Certificate } from "node:crypto";
import {
  ACCESS_DENIED,
  descriptorLimit,
  makeTransport,
  messageOf,
  type Transport,
  tcpAddress,
} from "@netconduit/core/adapter";
import { open } from "./connect.ts";
import { errors } from "./errors.ts";
import { bind } from "./listen.ts";
import { closeQuietly, SocketStream } from "./socket-stream.ts";

/** Connects and listens over TCP and Unix sockets, with TLS over TCP if the target says so. */
export const transport: Transport = makeTransport<Deno.Conn>({
  errors,
  files: {
    readText,
    async stat(path) {
      const { isSocket, ino } = await Deno.lstat(path);
      return { isSocket, inode: ino };
    },
    remove: (path) => Deno.remove(path),
    link: (path, name) => Deno.link(path, name),
    create: (path) => Deno.writeTextFile(path, "", { createNew: true }),
  },
  pemCrypto: { createPrivateKey, X509Certificate },
  timers: globalThis,
  resolve,
  async descriptorLimit() {
    // A query never asks the user.
    const { state } = await Deno.permissions.query({ name: "read", path: "/proc/self/limits" });
    return state === "granted" ? await descriptorLimit(Deno.readTextFile) : null;
  },
  open,
  bind,
  stream: (conn, facts) => new SocketStream(conn, facts),
  ends({ localAddr, remoteAddr }) {
    if (!("hostname" in localAddr && "hostname" in remoteAddr)) return null;
    return {
      local: tcpAddress(localAddr.hostname, localAddr.port),
      remote: tcpAddress(remoteAddr.hostname, remoteAddr.port),
    };
  },
  // Deno only reports that the handshake succeeded. For a client, that means the server was verified.
  session: (_, role) => ({ protocol: null, verified: role === "client", certificate: undefined }),
  discard: closeQuietly,
});

/**
 * Deno's sockets use the first address of any family. Its resolver reads the hosts file, then asks DNS, for which it needs a
 * permission; `localhost` needs neither (RFC 6761).
 */
async function resolve(host: string, family: 4 | 6): Promise<readonly string[]> {
  if (host === "localhost" || host.endsWith(".localhost")) return [family === 4 ? "127.0.0.1" : "::1"];
  return await Deno.resolveDns(host, family === 4 ? "A" : "AAAA");
}

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    if (errors.codeOf(cause) !== ACCESS_DENIED) throw cause;
    throw new Error(`${messageOf(cause)} (or give the PEM text itself)`, { cause });
  }
}
