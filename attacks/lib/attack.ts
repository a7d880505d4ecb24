import { setTimeout as sleep } from "node:timers/promises";
import type { ServerSetup } from "../server.ts";
import { AttackSocket } from "./attack-socket.ts";

/** Where an attacker attacks. */
export interface AttackTarget {
  readonly port: number;
}

/** A kind of hostile behaviour: a row of the table. */
export interface Attack {
  readonly name: string;
  readonly server?: ServerSetup;
  /** The work of the honest clients meanwhile. Default: calls. */
  readonly honest?: "calls" | "logins";
  /** Default: the run's. */
  readonly seconds?: number;
  /** Largest number of file descriptors of the server. */
  readonly descriptors?: number;
  /** Attacks until the context is stopped. */
  run(context: AttackContext): Promise<void>;
}

/** The end of an attack, as the attacker sees it. */
export interface AttackOutcome {
  readonly sentMiB: number;
  /** Events by name, with their number. */
  readonly events: Readonly<Record<string, number>>;
}

/** One attack as it runs. */
export class AttackContext {
  readonly target: AttackTarget;
  readonly #sockets = new Set<AttackSocket>();
  readonly #events: Record<string, number> = {};
  #sentBytes = 0;
  isStopped = false;

  constructor(target: AttackTarget) {
    this.target = target;
  }

  count(event: string, times = 1): void {
    if (!this.isStopped) this.#events[event] = (this.#events[event] ?? 0) + times;
  }

  /** Opens a socket; how it ends is counted. */
  async open(localAddress?: string): Promise<AttackSocket> {
    const socket = await AttackSocket.open(this.target.port, localAddress);
    this.#sockets.add(socket);
    void socket.ended.then((how) => {
      this.#sentBytes += socket.sentBytes;
      this.#sockets.delete(socket);
      this.count(`cut: ${how}`);
    });
    return socket;
  }

  /** Opens a socket and logs in. */
  async logIn(localAddress?: string): Promise<AttackSocket> {
    const socket = await this.open(localAddress);
    await socket.logIn();
    return socket;
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

  stop(): AttackOutcome {
    const connected = this.#sockets.size;
    if (connected > 0) this.count("still connected", connected);
    this.isStopped = true;
    for (const socket of this.#sockets) this.#sentBytes += socket.sentBytes;
    for (const socket of this.#sockets) socket.destroy();
    return { sentMiB: this.#sentBytes / 1024 / 1024, events: this.#events };
  }
}
