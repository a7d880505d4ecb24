import process from "node:process";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { Cleanups } from "../support/cleanups.ts";
import type { Subject } from "../support/subject.ts";
import { turn } from "../support/turns.ts";
import type { Json } from "./control-lines.ts";

/** Default password of servers. */
export const PASSWORD = "secret";

/** Sends a fact to the other half. */
export type Tell = (fact: string, value: Json) => void;

/** A runtime package and the differences between runtimes. */
export interface MatrixSubject extends Subject {
  readonly capabilities: Subject["capabilities"] & {
    /** `tls.protocol` is the negotiated version; otherwise it is null. */
    readonly tlsProtocol: boolean;
    /** A TLS server can request client certificates; otherwise starting with that option fails. */
    readonly clientCertificates: boolean;
    /** A TLS server answers plain text with an alert; otherwise it disconnects. */
    readonly tlsAlerts: boolean;
  };
}

/** The common part of both halves of a scenario. */
export class Half extends Cleanups {
  readonly subject: MatrixSubject;
  readonly #tellOther: Tell;
  readonly #told = new Map<string, EventLog<Json>>();
  readonly #waitingFor: string[] = [];
  #isEnded = false;

  constructor(subject: MatrixSubject, tell: Tell) {
    super();
    this.subject = subject;
    this.#tellOther = tell;
  }

  /** Sends a fact to the other half. Each call sends a separate fact. */
  tell(fact: string, value: Json = null): void {
    this.#tellOther(fact, value);
  }

  /** Resolves with the value of the next fact with this name from the other half. */
  async waitFor<T extends Json = Json>(fact: string): Promise<T> {
    this.#waitingFor.push(fact);
    const value = await this.#fact(fact).next();
    this.#waitingFor.splice(this.#waitingFor.indexOf(fact), 1);
    return value as T;
  }

  /** Resolves when `condition` holds, for conditions without an event. Checked once per turn. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      this.check();
      await turn();
    }
  }

  /** Kills this process. */
  die(): Promise<never> {
    process.kill(process.pid, "SIGKILL");
    return new Promise(() => {});
  }

  /** The facts that this half waits for. */
  get waitingFor(): readonly string[] {
    return [...this.#waitingFor];
  }

  /** Called by the peer process with a fact from the other half. */
  told(fact: string, value: Json): void {
    this.#fact(fact).add(value);
  }

  /** Called by the peer process. Closes everything that this half created. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.dispose();
  }

  /** Throws after the end of the scenario, because objects created then would never be closed. */
  protected check(): void {
    if (this.#isEnded) throw new Error("The scenario is over");
  }

  #fact(name: string): EventLog<Json> {
    let fact = this.#told.get(name);
    if (fact === undefined) {
      fact = new EventLog();
      this.#told.set(name, fact);
    }
    return fact;
  }
}
