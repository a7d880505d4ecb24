import { once } from "node:events";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Certificates, Target } from "../../lib/peer.ts";

/** An HTTP server on a free port, for libraries that attach to one, and its address. */
export async function listenHttp(
  tls: Certificates | null,
): Promise<{ readonly http: HttpServer; readonly target: Target }> {
  const http = tls === null ? createHttpServer() : createHttpsServer({ cert: tls.cert, key: tls.key });
  http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 });
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  return { http, target: { host: tls === null ? "127.0.0.1" : "localhost", port } };
}

/** Resolves once the server has stopped listening and its last connection is closed. */
export async function closeHttp(http: HttpServer): Promise<void> {
  if (!http.listening) return;
  http.close();
  await once(http, "close");
}
