/** Sends and receives numbered messages and calls; identical on both ends. */
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { type Content, contentOf, isIntact, MAX_ANSWER_BYTES } from "./content.ts";
import type { Journal, Lane } from "./journal.ts";
import type { Workload } from "./workload.ts";

/** The methods that both ends of a connection share. */
export interface End {
  send(type: string, data: unknown, options?: object): unknown;
  call(method: string, params: unknown, options?: object): Promise<unknown>;
  drained(): Promise<void>;
}

export interface Numbered {
  readonly lane: Lane;
  readonly id: number;
  /** In messages with `ack`, and in calls with `once` and their answers. */
  readonly content?: Content;
}

/** A server or a client, on which handlers are registered. */
export interface Receiver {
  /** `delivery` is the number of times that the handler was started for a message with `ack`. */
  on(type: string, handler: (data: Numbered, delivery: number) => unknown): unknown;
  rpc(name: string, handler: (params: Numbered) => unknown): unknown;
}

/** A deliberate fault of a sender, which tests expect to be counted. */
export type SenderFault = "resends" | "spoils" | null;

const IN_FLIGHT = 32;
/** Interval of large plain messages, which are sent in chunks. */
const LARGE_EVERY = 500;
const LARGE_BYTES = 80_000;
const FAULTY_ID = 7;
/** Short, so that messages are resent while their session has no stream. */
const ACK_TIMEOUT_MS = 2000;
const ACK = { timeoutMs: ACK_TIMEOUT_MS, delayMs: 50, attempts: 10_000 };
/** For runs with kills; after the last attempt, a server looks for another connection. Long, because large messages queue up. */
const KILLED_ACK = { timeoutMs: 30_000, delayMs: 20, attempts: 3 };
const AGAIN_MS = 20;
/** Interval of ids that are resent after their acknowledgement. */
const AGAIN_EVERY = 5;

/** Errors that are expected when a process is killed or its session ends. */
const BY_KILLS: ReadonlySet<string> = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_RESET",
  "CONNECTION_REFUSED",
  "CONNECTION_ERROR",
  "SESSION_EXPIRED",
  "HEARTBEAT_TIMEOUT",
  "NOT_DELIVERED",
  "TIMEOUT",
  // The disk is full.
  "STORE_FAILED",
  "STORE_FULL",
]);

function padOf(id: number): string {
  return id % LARGE_EVERY === LARGE_EVERY - 1 ? "x".repeat(LARGE_BYTES) : "x".repeat((id * 7) % 200);
}

/** Runs `task` for each id, `atOnce` in parallel, started in order. */
async function eachOf(ids: Iterable<number>, atOnce: number, task: (id: number) => Promise<void>): Promise<void> {
  const left = ids[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) await task(next.value);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

export function* upTo(count: number): Generator<number> {
  for (let id = 0; id < count; id += 1) yield id;
}

export class Traffic {
  /** Unexpected events, as text. */
  readonly surprises: string[] = [];
  readonly journal: Journal;
  readonly #workload: Workload;
  readonly #fault: SenderFault;

  constructor(journal: Journal, workload: Workload, fault: SenderFault) {
    this.journal = journal;
    this.#workload = workload;
    this.#fault = fault;
  }

  surprise(where: string, error: unknown): void {
    const { codeName, message } = error as { codeName?: string; message?: string };
    this.surprises.push(`${where}: ${codeName ?? ""} ${message ?? String(error)}`);
  }

  receiveAt(receiver: Receiver): void {
    const got = (data: Numbered): void => {
      this.#verify(data);
      this.journal.got(data.lane, data.id);
    };
    receiver.on("message", (data) => got(data));
    receiver.on("ack", async (data, delivery) => {
      if (delivery > 1) this.journal.gotAgain(data.lane, data.id);
      else got(data);
      // Acknowledge some later than others.
      if (data.id % 3 === 0) await setImmediate();
    });
    receiver.rpc("call", (params) => {
      got(params);
      return 2 * params.id + 1;
    });
    receiver.rpc("once", async (params) => {
      if (params.id % 3 === 0) await setImmediate();
      got(params);
      return {
        ...params,
        content: contentOf(params.lane, params.id, { maxBytes: MAX_ANSWER_BYTES }),
        answer: Math.random(),
      };
    });
  }

  #verify({ lane, id, content }: Numbered): void {
    if (content !== undefined && !isIntact(lane, id, content))
      this.surprise(lane, `the content of ${id} is not intact`);
  }

  #numbered(lane: Lane, id: number): Numbered {
    return { lane, id, content: contentOf(lane, id, { isSpoiled: this.#fault === "spoils" && id === FAULTY_ID }) };
  }

  /** Sends everything over one session. */
  async sendAll(end: End, prefix: string): Promise<void> {
    const { message, call, ack, once } = this.#workload;
    await Promise.all([
      this.#messages(end, `${prefix}message`, message),
      eachOf(upTo(call), IN_FLIGHT, (id) => this.#call(end, `${prefix}call`, id)),
      eachOf(upTo(ack), IN_FLIGHT, (id) => this.#ack(end, `${prefix}ack`, id)),
      eachOf(upTo(once), IN_FLIGHT, (id) => this.#once(end, `${prefix}once`, id)),
    ]);
  }

  async #messages(end: End, lane: Lane, count: number): Promise<void> {
    for (const id of upTo(count)) {
      if (end.send("message", { lane, id, pad: padOf(id) }) === false) await end.drained();
      if (id % 16 === 0) await setImmediate();
    }
  }

  async #call(end: End, lane: Lane, id: number): Promise<void> {
    const answer = await end.call("call", { lane, id });
    if (answer !== 2 * id + 1) this.surprise(lane, `${id} was answered with ${answer}`);
  }

  async #ack(end: End, lane: Lane, id: number): Promise<void> {
    await end.send("ack", this.#numbered(lane, id), { ack: { ...ACK, once: `${lane}-${id}` } });
    this.journal.acked(lane, id);
    if (this.#fault === "resends" && id === FAULTY_ID) await end.send("ack", this.#numbered(lane, id), { ack: ACK });
  }

  async #once(end: End, lane: Lane, id: number): Promise<void> {
    const ask = (): Promise<unknown> => end.call("once", this.#numbered(lane, id), { once: `${lane}-${id}` });
    const answers = await Promise.all(id % 5 === 0 ? [ask(), ask()] : [ask()]);
    this.journal.acked(lane, id);
    for (const answer of answers) this.#verify(answer as Numbered);
    const [first, ...others] = answers.map((answer) => JSON.stringify(answer));
    if (others.some((other) => other !== first)) this.surprise(lane, `${id} was answered differently`);
  }

  /**
   * Sends everything over the current connection, while processes are killed.
   * @param current returns the current connection, which may have ended; null if there is none
   * @param hasStore whether the other side keeps acknowledged ids permanently: some of them are resent
   * @param ackedBefore ids of a lane whose acknowledgements an earlier process has received
   * @param sentBefore ids of a lane that an earlier process has sent
   */
  async sendThroughKills(
    current: () => End | null,
    prefix: string,
    hasStore: boolean,
    ackedBefore: (lane: Lane) => ReadonlySet<number>,
    sentBefore: (lane: Lane) => ReadonlySet<number>,
  ): Promise<void> {
    const { message, ack, once } = this.#workload;
    const messages = `${prefix}message`;
    const sent = sentBefore(messages);
    const left = [...upTo(message)].filter((id) => !sent.has(id)).values();
    // Send sequentially, because the order is checked.
    let sending = Promise.resolve();
    const sendNext = (): Promise<void> => {
      const next = left.next();
      if (next.done !== true) sending = sending.then(() => this.#sendUntilTaken(current, messages, next.value));
      return sending;
    };
    const lane = async (kind: "ack" | "once", count: number): Promise<void> => {
      const name = `${prefix}${kind}`;
      const acked = ackedBefore(name);
      const open = [...upTo(count)].filter((id) => !acked.has(id));
      await eachOf(open, IN_FLIGHT, async (id) => {
        void sendNext();
        await this.#sendUntilAcked(current, kind, name, id);
        if (hasStore && id % AGAIN_EVERY === 0) await this.#sendUntilAcked(current, kind, name, id);
      });
    };
    await Promise.all([lane("ack", ack), lane("once", once)]);
    for (const _ of upTo(message)) await sendNext();
  }

  /** Sends a message once, over the first connection that accepts it. */
  async #sendUntilTaken(current: () => End | null, lane: Lane, id: number): Promise<void> {
    let isMarked = false;
    for (;;) {
      const end = current();
      try {
        if (end !== null) {
          // Record it before sending: if the process is killed in between, the next one must not send it again.
          if (!isMarked) this.journal.sent(lane, id);
          isMarked = true;
          end.send("message", { lane, id, pad: "" });
          return;
        }
      } catch (error) {
        this.#explain(lane, error);
      }
      await sleep(AGAIN_MS);
    }
  }

  async #sendUntilAcked(current: () => End | null, kind: "ack" | "once", lane: Lane, id: number): Promise<void> {
    const once = `${lane}-${id}`;
    for (;;) {
      const end = current();
      try {
        if (end !== null) {
          // Clients only have one connection, and must keep the order.
          const ack = lane.includes(">") ? { ...KILLED_ACK, attempts: ACK.attempts } : KILLED_ACK;
          const data = this.#numbered(lane, id);
          if (kind === "ack") await end.send("ack", data, { ack: { ...ack, once } });
          else this.#verify((await end.call("once", data, { once, timeoutMs: KILLED_ACK.timeoutMs })) as Numbered);
          this.journal.acked(lane, id);
          return;
        }
      } catch (error) {
        if ((error as { codeName?: string }).codeName === "OUTCOME_UNKNOWN") {
          this.journal.unknown(lane, id);
          return;
        }
        this.#explain(lane, error);
      }
      await sleep(AGAIN_MS);
    }
  }

  #explain(where: string, error: unknown): void {
    const { codeName = "" } = error as { codeName?: string };
    if (!BY_KILLS.has(codeName)) this.surprise(where, error);
  }
}
