/**
 * Reads a stream from a given message, in order and without gaps, through a push consumer without acknowledgements.
 *
 * nats.js's ordered consumer uses a heartbeat of 30 s, so it takes up to a minute to detect that its consumer was
 * lost, for example because its server was killed. This one uses a heartbeat of two seconds.
 */

import { AckPolicy, DeliverPolicy, jetstreamManager } from "@nats-io/jetstream";
import { createInbox, type Msg, type NatsConnection, nanos, type Subscription } from "@nats-io/transport-node";
import type { Clock } from "@netconduit/core/adapter";
import { ownBytes } from "./nats-limits.ts";

const HEARTBEAT_MS = 2000;
const SILENCE_MS = 3 * HEARTBEAT_MS + 500;
/** NATS removes the consumer this long after its reader has stopped. */
const INACTIVE_MS = 10_000;

/** Status of a message from the server itself. */
const CONTROL = 100;

export interface LogFollowerHost {
  /**
   * @param newest sequence number of the stream's newest message at the time of delivery
   * @param stored when NATS stored the message, in NATS's own format
   */
  entry(sequence: number, payload: Uint8Array, newest: number, stored: string): void;
  /** NATS had nothing to deliver for one heartbeat. */
  idle(): void;
  /** No more entries will arrive: start a new follower after the last entry. Called once. */
  interrupted(): void;
  /** `entry` threw. Reading continues with the next message. */
  failed(error: unknown): void;
}

export class LogFollower {
  readonly #connection: NatsConnection;
  readonly #inboxPrefix: string;
  readonly #clock: Clock;
  readonly #host: LogFollowerHost;
  #subscription: Subscription | null = null;
  /** Number of messages delivered by the consumer. */
  #delivered = 0;
  #silenceTimer: unknown = null;
  #isStopped = false;

  constructor(connection: NatsConnection, inboxPrefix: string, clock: Clock, host: LogFollowerHost) {
    this.#connection = connection;
    this.#inboxPrefix = inboxPrefix;
    this.#clock = clock;
    this.#host = host;
  }

  /** Rejects with an error of nats.js. */
  async start(stream: string, firstSequence: number, timeoutMs: number): Promise<void> {
    const connection = this.#connection;
    const manager = await jetstreamManager(connection, { timeout: timeoutMs, checkAPI: false });
    if (this.#isStopped) return;
    const inbox = createInbox(this.#inboxPrefix);
    this.#subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) this.#interrupt();
        else this.#received(message);
      },
    });
    await manager.consumers.add(stream, {
      deliver_subject: inbox,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: firstSequence,
      ack_policy: AckPolicy.None,
      max_deliver: 1,
      flow_control: true,
      idle_heartbeat: nanos(HEARTBEAT_MS),
      inactive_threshold: nanos(INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    this.#restartSilenceTimer();
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#silenceTimer !== null) this.#clock.clearTimer(this.#silenceTimer);
    this.#subscription?.unsubscribe();
  }

  #interrupt(): void {
    if (this.#isStopped) return;
    this.stop();
    this.#host.interrupted();
  }

  #restartSilenceTimer(): void {
    if (this.#isStopped) return;
    if (this.#silenceTimer !== null) this.#clock.clearTimer(this.#silenceTimer);
    this.#silenceTimer = this.#clock.setTimer(() => this.#interrupt(), SILENCE_MS, false);
  }

  #received(message: Msg): void {
    if (this.#isStopped) return;
    this.#restartSilenceTimer();
    const status = message.headers?.code ?? 0;
    if (status === CONTROL) this.#control(message);
    // The consumer or the stream was deleted.
    else if (status !== 0) this.#interrupt();
    else this.#message(message);
  }

  #control(message: Msg): void {
    // A flow control request, or a heartbeat that repeats a lost one.
    const stalled = message.headers?.get("Nats-Consumer-Stalled") ?? "";
    if (stalled !== "") this.#connection.publish(stalled);
    else message.respond();
    const delivered = message.headers?.get("Nats-Last-Consumer") ?? "";
    if (delivered === "") return;
    if (Number(delivered) > this.#delivered) this.#interrupt();
    else if (stalled === "") this.#host.idle();
  }

  #message(message: Msg): void {
    const place = parseReply(message.reply ?? "");
    if (place === null || place.deliverySequence !== this.#delivered + 1) {
      this.#interrupt();
      return;
    }
    this.#delivered += 1;
    try {
      this.#host.entry(place.sequence, ownBytes(message.data), place.sequence + place.pending, place.stored);
    } catch (error) {
      // Rethrowing would end nats.js's read loop.
      this.#host.failed(error);
    }
  }
}

interface DeliveryPlace {
  readonly sequence: number;
  readonly deliverySequence: number;
  readonly stored: string;
  readonly pending: number;
}

/**
 * Parses a message's position from its reply subject: `$JS.ACK.STREAM.CONSUMER.COUNT.SEQUENCE.DELIVERY.TIME.PENDING`,
 * or the same with a domain and a hash of the account before the stream.
 */
function parseReply(reply: string): DeliveryPlace | null {
  const tokens = reply.split(".");
  const first = tokens.length === 9 ? 4 : 6;
  // Kept as text: nanoseconds exceed the precision of a number.
  const stored = tokens[first + 3] ?? "";
  const [, sequence = 0, deliverySequence = 0, , pending = 0] = tokens.slice(first).map(Number);
  return Number.isSafeInteger(sequence) && sequence > 0 ? { sequence, deliverySequence, stored, pending } : null;
}
