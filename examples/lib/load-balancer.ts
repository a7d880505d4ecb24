/** A minimal TCP load balancer for the demo: each new connection goes to the next target that accepts it. */

import { connect, createServer, type Server, type Socket } from "node:net";

export class LoadBalancer {
  readonly #ports: readonly number[];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next = 0;

  /** @param ports of the targets, on the loopback address */
  constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.#server = createServer((client) => this.#serve(client, this.#ports.length));
  }

  /** Resolves with the port. */
  async start(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("The load balancer has no port");
    return address.port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** @param attempts number of targets that haven't been tried */
  #serve(client: Socket, attempts: number): void {
    this.#watch(client);
    const target = connect({ host: "127.0.0.1", port: this.#ports[this.#next] as number });
    this.#next = (this.#next + 1) % this.#ports.length;
    this.#watch(target);
    const refused = (): void => {
      if (attempts > 1 && !client.destroyed) this.#serve(client, attempts - 1);
      else client.destroy();
    };
    target.once("error", refused);
    target.once("connect", () => {
      target.off("error", refused);
      client.pipe(target).pipe(client);
      client.on("close", () => target.destroy());
      target.on("close", () => client.destroy());
    });
  }

  /** Tracks open sockets. An error ends a socket and is followed by `close`. */
  #watch(socket: Socket): void {
    if (this.#sockets.has(socket)) return;
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
