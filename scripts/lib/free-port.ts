import { createServer } from "node:net";

/** Below the ports that systems give to outgoing connections, one of which could take the port during a restart. */
const PORTS = { first: 12_000, count: 18_000 } as const;

/** A port of the loopback address that nobody listens at. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
