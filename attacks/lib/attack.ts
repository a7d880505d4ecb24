import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawLogin } from "../../packages/core/src/test-support/raw-peer.ts";
import type { ServerSetup } from "../server.ts";
import { AttackSocket } from "./attack-socket.ts";
import { HOST, type Place } from "./subject.ts";

/** A kind of hostile behaviour: a row of the table. */
export interface Attack {
  readonly name: string;
  readonly server?: ServerSetup;
  /** The work of the honest clients meanwhile. Default: calls. */
  readonly honest?: "calls" | "logins";
  /** The user that the honest clients are, with `PASSWORD`. Default: none, and they have the shared password. */
  readonly honestUser?: string;
  /** The honest clients' round trip. Default: the loopback's. */
  readonly roundTripMs?: number;
  /** The attacker is a server; clients in the process of the honest server dial it again and again. */
  readonly isServer?: boolean;
  /** Default: the run's. */
  readonly seconds?: number;
  /** Largest number of file descriptors of the server. */
  readonly descriptors?: number;
  /** Attacks until the context is stopped. A hostile server returns its port at once. */
  run(context: AttackContext): Promise<unknown>;
}

/** The end of an attack, as the attacker sees it. */
export interface AttackOutcome {
  readonly sentMiB: number;
  /** Events by name, with their number. */
  readonly events: Readonly<Record<string, number>>;
}

/** One attack as it runs. */
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

  /** Opens a socket; how it ends is counted. */
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

  /** Opens a socket and logs in, with all extensions without parameters unless others are given. */
  async logIn(localAddress?: string, extensions?: RawLogin["extensions"]): Promise<AttackSocket> {
    const socket = await this.open(localAddress);
    await socket.logIn(undefined, extensions);
    return socket;
  }

  /** Opens a socket with TLS and logs in. Its records have so many bytes. */
  async logInByTls(recordBytes: number): Promise<AttackSocket> {
    const socket = await AttackSocket.openByTls(this.target, recordBytes);
    this.#add(socket);
    await socket.logIn();
    return socket;
  }

  /** Listens. Each connection is handled by `serve`; how it ends is counted. */
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

  /** Runs `work` again and again until the attack stops. An error, such as the end of a socket, starts it again. */
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

  /** Runs `work` this many times side by side, each again and again. */
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
