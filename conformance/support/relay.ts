import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

type Pair = readonly [from: Socket, to: Socket];

/**
 * Proxies connections between clients and a server through its own port, so that a test can simulate a killed server
 * or a network that stops delivering for a while.
 */
export class Relay {
  #target: number;
  readonly #sockets = new Set<Socket>();
  /** Data from each socket is written to the other socket of the pair. */
  readonly #pairs = new Set<Pair>();
  readonly #held = new Set<Pair>();
  #isSilent = false;
  #listener: Server | null = null;
  #port = 0;

  /** @param target the server's port on 127.0.0.1 */
  constructor(target: number) {
    this.#target = target;
  }

  get address(): { readonly port: number } {
    return { port: this.#port };
  }

  /** Listens, after the first time on the same port. */
  async start(): Promise<void> {
    const listener = createServer((client) => this.#join(client, connect(this.#target, "127.0.0.1")));
    listener.listen(this.#port, "127.0.0.1");
    await once(listener, "listening");
    this.#listener = listener;
    this.#port = (listener.address() as AddressInfo).port;
  }

  /** Resets all connections, possibly in the middle of data, and stops listening. */
  async kill(): Promise<void> {
    const listener = this.#listener;
    if (listener === null) return;
    this.#listener = null;
    const closed = once(listener, "close");
    listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Forwards new connections to another port. */
  leadTo(port: number): void {
    this.#target = port;
  }

  /** Stops forwarding in both directions. Connections stay open, and new ones are accepted. */
  silence(): void {
    this.#isSilent = true;
    for (const pair of this.#pairs) {
      const [from, to] = pair;
      this.#held.add(pair);
      from.unpipe(to).pause();
    }
  }

  /** Resumes forwarding for connections made since `silence`. */
  speak(): void {
    this.#isSilent = false;
    for (const pair of this.#pairs) if (!this.#held.has(pair)) pair[0].pipe(pair[1]);
  }

  /** Delivers held data of connections made before `silence`, even if their clients have already disconnected. */
  deliverHeld(): void {
    for (const [from, to] of this.#held) from.pipe(to);
    this.#held.clear();
  }

  #join(client: Socket, server: Socket): void {
    for (const pair of [
      [client, server],
      [server, client],
    ] as const) {
      const [from, to] = pair;
      this.#pairs.add(pair);
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        this.#pairs.delete(pair);
        this.#held.delete(pair);
        to.destroy();
      });
      if (!this.#isSilent) from.pipe(to);
    }
  }
}
