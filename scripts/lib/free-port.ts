import { createServer } from "node:net";

/** Below the range of ephemeral ports, because an outgoing connection could take the port during a restart. */
const PORTS = { first: 12_000, count: 18_000 } as const;

/** Resolves with a free port on the loopback address. */
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
