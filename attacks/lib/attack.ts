import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawLogin } from "../../packages/core/src/test-support/raw-peer.ts";
import type { ServerSetup } from "../server.ts";
import { AttackSocket } from "./attack-socket.ts";
import { HOST, type Place } from "./subject.ts";

/** A kind of hostile behaviour, shown as a row of the table. */
export interface Attack {
  readonly name: string;
  readonly server?: ServerSetup;
  /** Work of the honest clients during the attack. Default: calls. */
  readonly honest?: "calls" | "logins";
  /** User name of the honest clients, with `PASSWORD`. Default: none; they use the shared password. */
  readonly honestUser?: string;
  /** Round trip time of the honest clients. Default: the loopback's. */
  readonly roundTripMs?: number;
  /** Whether the attacker is a server, which clients in the honest server's process dial repeatedly. */
  readonly isServer?: boolean;
  /** Minimum duration. Default: the run's. */
  readonly seconds?: number;
  /** Largest number of file descriptors of the server. */
  readonly descriptors?: number;
  /** Attacks until the context is stopped. A hostile server returns its port as soon as it listens. */
  run(context: AttackContext): Promise<unknown>;
}

/** The outcome of an attack from the attacker's view. */
export interface AttackOutcome {
  readonly sentMiB: number;
  /** Number of events by name. */
  readonly events: Readonly<Record<string, number>>;
}

/** A running attack. */
export class AttackContext {
  readonly target: Place;
  readonly #sockets = new Set<AttackSocket>();
  readonly #events: Record<string, number> = {};
  #sentBytes = 0;
  isStopped = false;

  constructor(target: Place) {
    this.target = target;
  }

  count(event: string, times = 1): void {
    if (!this.isStopped) this.#events[event] = (this.#events[event] ?? 0) + times;
  }

  /** Opens a socket, and counts how it ends. */
  async open(localAddress?: string): Promise<AttackSocket> {
    const socket = await AttackSocket.open(this.target, localAddress);
    this.#add(socket);
    return socket;
  }

  #add(socket: AttackSocket): void {
    this.#sockets.add(socket);
    void socket.ended.then((how) => {
      this.#sentBytes += socket.sentBytes;
      this.#sockets.delete(socket);
      this.count(`cut: ${how}`);
    });
  }

  /** Opens a socket and logs in, by default with all extensions, without parameters. */
  async logIn(localAddress?: string, extensions?: RawLogin["extensions"]): Promise<AttackSocket> {
    const socket = await this.open(localAddress);
    await socket.logIn(undefined, extensions);
    return socket;
  }

  /** Opens a TLS socket with records of `recordBytes`, and logs in. */
  async logInByTls(recordBytes: number): Promise<AttackSocket> {
    const socket = await AttackSocket.openByTls(this.target, recordBytes);
    this.#add(socket);
    await socket.logIn();
    return socket;
  }

  /** Listens. Handles each connection with `serve`, and counts how it ends. */
  async listen(serve: (socket: AttackSocket) => Promise<void>): Promise<number> {
    const server = createServer((raw) => {
      const socket = AttackSocket.accepted(raw);
      this.#add(socket);
      serve(socket).catch(() => socket.destroy());
    });
    server.listen(0, HOST);
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  /** Repeats `work` until the attack stops. An error, such as the end of a socket, restarts it. */
  async again(work: () => Promise<void>, pauseMs = 0): Promise<void> {
    while (!this.isStopped) {
      try {
        await work();
      } catch {
        this.count("attempts that failed");
        await sleep(20);
      }
      if (pauseMs > 0) await sleep(pauseMs);
    }
  }

  /** Repeats `work` in `count` parallel loops. */
  async againInParallel(count: number, work: () => Promise<void>): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.again(work)));
  }

  /** Waits until the attack stops. */
  async hold(): Promise<void> {
    while (!this.isStopped) await sleep(50);
  }

  get outcome(): AttackOutcome {
    let bytes = this.#sentBytes;
    for (const socket of this.#sockets) bytes += socket.sentBytes;
    return { sentMiB: bytes / 1024 / 1024, events: this.#events };
  }

  stop(): AttackOutcome {
    const connected = this.#sockets.size;
    if (connected > 0) this.count("still connected", connected);
    this.isStopped = true;
    const { outcome } = this;
    for (const socket of this.#sockets) socket.destroy();
    return outcome;
  }
}
