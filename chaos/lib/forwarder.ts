/** Forwards connections between the clients and the server, and applies each connection's plan. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { ConnectionPlan, CutKind, Direction } from "./connection-plan.ts";
import { AUTH_REQUEST, AUTH_RESPONSE, AUTH_SUCCESS, FrameScanner } from "./frame-scanner.ts";
import { Pipe } from "./pipe.ts";

const HOST = "127.0.0.1";
/** Key of the token in the payload of AUTH_RESPONSE; absent in logins by password. */
const TOKEN_KEY = "token";
/** Time for which a second connection with the same login is kept open after the server's answer. */
const DUPLICATE_MS = 30;

export interface ForwarderCounts {
  connections: number;
  cuts: number;
  cutLogins: number;
  silences: number;
  lateLogins: number;
  duplicates: number;
  refused: number;
}

/** A login whose last frame is delivered late. */
interface LateLogin {
  readonly server: Socket;
  readonly bytes: Buffer;
  readonly order: "before" | "after";
}

export class Forwarder {
  readonly counts: ForwarderCounts = {
    connections: 0,
    cuts: 0,
    cutLogins: 0,
    silences: 0,
    lateLogins: 0,
    duplicates: 0,
    refused: 0,
  };
  /** The server's port. */
  target = 0;
  isRefusing = false;
  /** Whether connections are no longer disturbed. */
  isCalm = false;
  readonly #planOf: (number: number) => ConnectionPlan;
  readonly #sockets = new Set<Socket>();
  readonly #passages = new Set<Passage>();
  readonly #late: LateLogin[] = [];
  readonly #listener: Server;

  constructor(planOf: (number: number) => ConnectionPlan) {
    this.#planOf = planOf;
    this.#listener = createServer((client) => this.#accept(client));
  }

  async start(): Promise<number> {
    this.#listener.listen(0, HOST);
    await once(this.#listener, "listening");
    return (this.#listener.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const closed = once(this.#listener, "close");
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  cutAll(): void {
    for (const passage of this.#passages) passage.cut("reset");
  }

  dial(): Socket {
    return this.#own(connect(this.target, HOST));
  }

  /** A passage has ended. */
  left(passage: Passage): void {
    this.#passages.delete(passage);
  }

  addLate(login: LateLogin): void {
    this.#late.push(login);
  }

  /**
   * A connection has logged in: delivers the late logins.
   * @returns whether the newer connection must wait for them; `ready` is called when it may continue
   */
  loggedIn(ready: () => void): boolean {
    const late = this.#late.splice(0);
    let pending = 0;
    for (const { server, bytes, order } of late) {
      this.counts.lateLogins += 1;
      if (order === "before") pending += 1;
      const ended = (): void => {
        server.destroy();
        if (order !== "before") return;
        pending -= 1;
        if (pending === 0) ready();
      };
      let hasEnded = false;
      const end = (): void => {
        if (hasEnded) return;
        hasEnded = true;
        setTimeout(ended, DUPLICATE_MS);
      };
      server.on("data", end).on("close", end);
      server.write(bytes);
      if (server.destroyed) end();
    }
    return pending > 0;
  }

  #accept(client: Socket): void {
    this.#own(client);
    if (this.isRefusing) {
      this.counts.refused += 1;
      client.resetAndDestroy();
      return;
    }
    const number = this.counts.connections;
    this.counts.connections += 1;
    this.#passages.add(new Passage(this, this.#planOf(number), client, this.dial()));
  }

  #own(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    // `close` follows.
    socket.on("error", () => undefined);
    return socket.on("close", () => this.#sockets.delete(socket));
  }
}

/** A connection through the forwarder. */
class Passage {
  readonly #forwarder: Forwarder;
  readonly #plan: ConnectionPlan;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #pipes: Readonly<Record<Direction, Pipe>>;
  readonly #scanners: Readonly<Record<Direction, FrameScanner>> = { up: new FrameScanner(), down: new FrameScanner() };
  readonly #passed: Record<Direction, number> = { up: 0, down: 0 };
  #duplicate: Socket | null = null;
  #isLoggedIn = false;
  #hasEnded = false;
  #isSilent = false;

  constructor(forwarder: Forwarder, plan: ConnectionPlan, client: Socket, server: Socket) {
    this.#forwarder = forwarder;
    this.#plan = plan;
    this.#client = client;
    this.#server = server;
    const { delayMs, rate } = plan;
    this.#pipes = { up: new Pipe(client, server, delayMs, rate), down: new Pipe(server, client, delayMs, rate) };
    for (const [direction, from, to] of [["up", client, server] as const, ["down", server, client] as const]) {
      from.on("data", (chunk: Buffer) => this.#arrived(direction, chunk));
      from.on("end", () => {
        if (!this.#hasEnded && !this.#isSilent) this.#pipes[direction].push(null);
      });
      from.on("close", (hadError) => {
        if (hadError && !this.#hasEnded && !this.#isSilent) to.destroy();
        if (client.destroyed && server.destroyed) this.#end();
      });
    }
  }

  cut(kind: CutKind): void {
    if (this.#hasEnded || this.#isSilent) return;
    const { counts } = this.#forwarder;
    counts.cuts += 1;
    if (!this.#isLoggedIn) counts.cutLogins += 1;
    for (const pipe of Object.values(this.#pipes)) pipe.drop();
    if (kind === "silence") {
      counts.silences += 1;
      this.#isSilent = true;
      return;
    }
    this.#end();
    for (const socket of [this.#client, this.#server]) {
      if (kind === "reset") socket.resetAndDestroy();
      else socket.destroySoon();
    }
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const pipe of Object.values(this.#pipes)) pipe.drop();
    this.#forwarder.left(this);
  }

  #arrived(direction: Direction, chunk: Buffer): void {
    if (this.#hasEnded || this.#isSilent) return;
    if (this.#isLoggedIn || this.#forwarder.isCalm) {
      this.#pass(direction, chunk);
      return;
    }
    const scanner = this.#scanners[direction];
    const frames = scanner.take(chunk);
    for (const { type, bytes } of frames) {
      if (this.#plan.isDuplicated && direction === "up") this.#duplicateFrame(type, bytes);
      if (this.#plan.late !== null && type === AUTH_RESPONSE && direction === "up") {
        this.#becomeLate(bytes, this.#plan.late);
        return;
      }
      if (type === AUTH_SUCCESS) this.#loggedIn();
    }
    this.#pass(direction, chunk);
  }

  #loggedIn(): void {
    this.#isLoggedIn = true;
    const { up } = this.#pipes;
    if (this.#forwarder.loggedIn(() => up.release())) up.hold();
  }

  /** The client loses the connection; the server's end stays open and receives the rest of the login later. */
  #becomeLate(bytes: Buffer, order: "before" | "after"): void {
    this.#end();
    this.#client.resetAndDestroy();
    this.#forwarder.addLate({ server: this.#server, bytes, order });
  }

  #duplicateFrame(type: number, bytes: Buffer): void {
    if (type === AUTH_REQUEST) {
      const second = this.#forwarder.dial();
      this.#duplicate = second;
      this.#forwarder.counts.duplicates += 1;
      second.write(bytes);
    } else if (type === AUTH_RESPONSE && bytes.includes(TOKEN_KEY)) {
      this.#duplicate?.write(bytes);
    }
    const duplicate = this.#duplicate;
    if (type === AUTH_RESPONSE) setTimeout(() => duplicate?.destroy(), DUPLICATE_MS);
  }

  #pass(direction: Direction, chunk: Buffer): void {
    const { cut } = this.#plan;
    const before = this.#passed[direction];
    this.#passed[direction] += chunk.length;
    if (this.#forwarder.isCalm || direction !== cut.direction || before + chunk.length < cut.bytes) {
      this.#pipes[direction].push(chunk);
      return;
    }
    const last = chunk.subarray(0, Math.max(0, cut.bytes - before));
    // Bytes still queued in the pipe are lost with the connection.
    this.#pipes[direction].push(last);
    this.cut(cut.kind);
  }
}
