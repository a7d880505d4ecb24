import process from "node:process";
import { EventLog } from "../../packages/core/src/test-support/event-log.ts";
import type { Subject } from "../support/subject.ts";
import { turn } from "../support/turns.ts";
import type { Json } from "./control-lines.ts";

/** The password of every server that says nothing else. */
export const PASSWORD = "secret";

/** How a half reaches the other one. */
export interface Line {
  tell(fact: string, value: Json): void;
}

/** What a runtime package is, and how runtimes rightly differ. */
export interface MatrixSubject extends Subject {
  readonly capabilities: Subject["capabilities"] & {
    /** `tls.protocol` says what was negotiated; elsewhere it is null. */
    readonly tlsProtocol: boolean;
    /** A TLS server can ask for client certificates; elsewhere it refuses to start if told to. */
    readonly clientCertificates: boolean;
    /** A TLS server answers plain text with an alert; one that does not hangs up. */
    readonly tlsAlerts: boolean;
  };
}

/** What both halves of a scenario can do. */
export class Half {
  readonly subject: MatrixSubject;
  readonly #line: Line;
  readonly #told = new Map<string, EventLog<Json>>();
  readonly #waitingFor: string[] = [];
  readonly #cleanups: (() => Promise<unknown>)[] = [];
  #isEnded = false;

  constructor(subject: MatrixSubject, line: Line) {
    this.subject = subject;
    this.#line = line;
  }

  /** Tells the other half. A fact that is told several times is heard as often, in order. */
  tell(fact: string, value: Json = null): void {
    this.#line.tell(fact, value);
  }

  /** Resolves with what the other half tells by this name. */
  async waitFor<T extends Json = Json>(fact: string): Promise<T> {
    this.#waitingFor.push(fact);
    const value = await this.#fact(fact).next();
    this.#waitingFor.splice(this.#waitingFor.indexOf(fact), 1);
    return value as T;
  }

  /** Resolves once `condition` holds, for the few things that no event tells; asked once per turn of the event loop. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      this.check();
      await turn();
    }
  }

  /** Has `cleanup` called when the scenario is over, before those handed over earlier. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  /** Ends this process at once, as a crash or the system would. */
  die(): Promise<never> {
    process.kill(process.pid, "SIGKILL");
    return new Promise(() => {});
  }

  /** The facts it waits for. */
  get waitingFor(): readonly string[] {
    return [...this.#waitingFor];
  }

  /** For the peer: the other half told this. */
  take(fact: string, value: Json): void {
    this.#fact(fact).add(value);
  }

  /** For the peer: ends what this half made. */
  async end(): Promise<void> {
    this.#isEnded = true;
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }

  /** Throws once the scenario is over, so that a half which is still under way makes nothing that nobody ends. */
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
