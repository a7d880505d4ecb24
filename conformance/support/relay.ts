import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Stands between clients and a server, on a port of its own, so that a test can cut the server off as if it were killed. */
export class Relay {
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #listener: Server | null = null;
  #port = 0;

  /** @param target the server's port on 127.0.0.1 */
  constructor(target: number) {
    this.#target = target;
  }

  get address(): { readonly port: number } {
    return { port: this.#port };
  }

  /** Listens, on the same port as before. */
  async start(): Promise<void> {
    const listener = createServer((client) => this.#join(client, connect(this.#target, "127.0.0.1")));
    listener.listen(this.#port, "127.0.0.1");
    await once(listener, "listening");
    this.#listener = listener;
    this.#port = (listener.address() as AddressInfo).port;
  }

  /** Cuts all connections in the middle of whatever they carry, and accepts no more. */
  async kill(): Promise<void> {
    const listener = this.#listener;
    if (listener === null) return;
    this.#listener = null;
    const closed = once(listener, "close");
    listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket, server: Socket): void {
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
