import process from "node:process";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { Cleanups } from "../support/cleanups.ts";
import type { Subject } from "../support/subject.ts";
import { turn } from "../support/turns.ts";
import type { Json } from "./control-lines.ts";

/** The password of servers, unless a scenario sets another. */
export const PASSWORD = "secret";

/** Sends a fact to the other half. */
export type Tell = (fact: string, value: Json) => void;

/** A runtime package, and the ways in which runtimes differ. */
export interface MatrixSubject extends Subject {
  readonly capabilities: Subject["capabilities"] & {
    /** `tls.protocol` is the negotiated version; elsewhere it is null. */
    readonly tlsProtocol: boolean;
    /** A TLS server can ask for client certificates; elsewhere it refuses to start if told to. */
    readonly clientCertificates: boolean;
    /** A TLS server answers plain text with an alert; elsewhere it hangs up. */
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

  /** Tells the other half a fact. Telling it again counts as one more. */
  tell(fact: string, value: Json = null): void {
    this.#tellOther(fact, value);
  }

  /** Resolves with the value of the next fact of this name from the other half. */
  async waitFor<T extends Json = Json>(fact: string): Promise<T> {
    this.#waitingFor.push(fact);
    const value = await this.#fact(fact).next();
    this.#waitingFor.splice(this.#waitingFor.indexOf(fact), 1);
    return value as T;
  }

  /** Resolves once `condition` holds, for the few things that no event reports; checked once a turn. */
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

  /** For the peer process: the other half told this. */
  told(fact: string, value: Json): void {
    this.#fact(fact).add(value);
  }

  /** For the peer process: ends everything that this half made. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.dispose();
  }

  /** Throws once the scenario is over: nothing would end what a half makes after that. */
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
