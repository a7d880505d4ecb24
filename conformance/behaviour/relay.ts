/** Stands between a client and its server, passes on every byte, and notes the frames. */
import { createServer, connect as netConnect, type Server, type Socket } from "node:net";

const HEADER_BYTES = 32;

/** One connection through the relay. */
export interface Relayed {
  /** Types of the frames in the order they came by, of both directions. */
  readonly types: number[];
  /** Bytes of the client, one chunk after the other. */
  readonly sent: Buffer[];
}

export class Relay {
  readonly connections: Relayed[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Where the server listens; another one may take its place. */
  serverPort: number;

  private constructor(serverPort: number) {
    this.serverPort = serverPort;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  static async start(serverPort: number): Promise<Relay> {
    const relay = new Relay(serverPort);
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  /** As a server has it, so that clients can be pointed here. */
  get address(): { readonly port: number } {
    return { port: (this.#server.address() as { port: number }).port };
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket): void {
    const relayed: Relayed = { types: [], sent: [] };
    this.connections.push(relayed);
    const server = netConnect({ host: "127.0.0.1", port: this.serverPort, noDelay: true });
    this.#pass(client, server, relayed.types, relayed.sent);
    this.#pass(server, client, relayed.types, []);
  }

  #pass(from: Socket, to: Socket, types: number[], chunks: Buffer[]): void {
    let bytes: Buffer = Buffer.alloc(0);
    this.#sockets.add(from);
    from.on("data", (chunk) => {
      chunks.push(chunk);
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= HEADER_BYTES && bytes.length >= HEADER_BYTES + bytes.readUInt32BE(12)) {
        types.push(bytes.readUInt16BE(6));
        bytes = bytes.subarray(HEADER_BYTES + bytes.readUInt32BE(12));
      }
      to.write(chunk);
    });
    from.on("end", () => to.end());
    from.on("error", () => to.destroy());
    from.on("close", () => this.#sockets.delete(from));
  }
}
