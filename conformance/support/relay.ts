import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

type Pair = readonly [from: Socket, to: Socket];

/**
 * Stands between clients and a server, on a port of its own, so that a test can cut the server off as if it were killed, or
 * as if the network between them carried nothing for a while.
 */
export class Relay {
  #target: number;
  readonly #sockets = new Set<Socket>();
  /** Each socket's data goes to the other one of its pair. */
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

  /** New connections go to another port. */
  leadTo(port: number): void {
    this.#target = port;
  }

  /** Carries nothing any more, in either direction; connections stay, and new ones are accepted. */
  silence(): void {
    this.#isSilent = true;
    for (const pair of this.#pairs) {
      const [from, to] = pair;
      this.#held.add(pair);
      from.unpipe(to).pause();
    }
  }

  /** Carries data of connections made since `silence`. */
  speak(): void {
    this.#isSilent = false;
    for (const pair of this.#pairs) if (!this.#held.has(pair)) pair[0].pipe(pair[1]);
  }

  /** Carries held data of connections made before `silence`, even if their clients have given up. */
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
