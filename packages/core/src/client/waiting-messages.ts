import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { UnhandledMessage } from "../connection/send/unhandled-messages.ts";
import type { MessageAttempts } from "../endpoint/acknowledged-send.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { ConduitError, ErrorCode, messageOf } from "../errors.ts";
import type { ClientConfig } from "./client-options.ts";
import { OfflineQueue } from "./offline-queue.ts";
import { type OfflineHost, OfflineSender } from "./offline-sender.ts";
import { QueuedAttempts } from "./queued-attempts.ts";
import type { ResumedSession } from "./resumed-session.ts";

/**
 * Holds messages until a client's next login completes: messages of earlier connections that no server has handled,
 * then unanswered messages with `ack`, and messages and calls made since. They are sent in this order, before
 * anything else.
 */
export class WaitingMessages<Peer> {
  /** Queues messages and calls made in the meantime. */
  readonly sender: OfflineSender;
  readonly #core: EndpointCore<Peer>;
  readonly #isQueued: boolean;
  readonly #queue: OfflineQueue<Outgoing>;
  #unhandled: UnhandledMessage[] = [];
  /** Number of those that can't be resent; null if no server was restarted. */
  #lost: number | null = null;

  constructor(core: EndpointCore<Peer>, config: ClientConfig, host: OfflineHost) {
    this.#core = core;
    this.#isQueued = config.queueWhileDisconnected === "send";
    this.#queue = new OfflineQueue(core.wheel, config);
    this.sender = new OfflineSender(this.#queue, host);
  }

  /** Adds messages that a server hasn't accepted. */
  keep(messages: readonly UnhandledMessage[]): void {
    // There may be more than the maximum number of arguments.
    for (const message of messages) this.#unhandled.push(message);
  }

  /** The server was restarted. Keeps messages that it hasn't handled; `lost` further ones can't be resent. */
  restored(messages: readonly UnhandledMessage[], lost: number): void {
    this.keep(messages);
    this.#lost = lost;
  }

  /** Whether messages of an ended session will be resent to a restarted server. */
  get isRestored(): boolean {
    return this.#lost !== null;
  }

  /**
   * The login is complete: resends messages that a restarted server hasn't handled. Returns the event for `onResume`;
   * null if the server wasn't restarted.
   */
  restore({ peer, sender }: ProtocolConnection<Peer>): ResumedSession | null {
    const messages = this.#unhandled;
    const lost = this.#lost;
    this.#unhandled = [];
    this.#lost = null;
    for (const message of messages) {
      try {
        sender.sendAgain(message);
      } catch (error) {
        this.#core.reportError(error, "send", peer, message.name);
      }
    }
    return lost === null ? null : { replayed: messages.length, lost, restarted: true };
  }

  /** Sends everything that was waiting for the connection. */
  sendAll({ sender }: ProtocolConnection<Peer>): void {
    this.#queue.sendAll(sender);
  }

  /**
   * The login has failed, or the server is stopping. With `queueWhileDisconnected: "send"`, everything waits for the
   * next login.
   * @param isFollowed whether another login follows automatically, for which messages with `ack` always wait
   */
  loginFailed(error: Error, isFollowed: boolean): void {
    if (this.#isQueued) return;
    if (isFollowed) this.#queue.rejectOthers(error);
    else this.#queue.rejectAll(error);
  }

  /** Starts the attempts of a message with `ack`. @param usable returns the connection, if it accepts messages now */
  attempts(usable: () => Outgoing | null): MessageAttempts {
    return new QueuedAttempts(this.#queue, this.sender, { way: usable, canLeave: () => true });
  }

  /** There will be no further connection. @param reason creates the error, if anything is waiting */
  giveUp(reason: () => Error): void {
    if (this.#queue.size > 0) this.#queue.rejectAll(reason());
    this.sender.endPauses();
    const { length: count } = this.#unhandled;
    this.#unhandled = [];
    this.#lost = null;
    if (count === 0) return;
    const cause = reason();
    const message = `No server has handled the last ${count} of send() and callNoWait(): ${messageOf(cause)}`;
    this.#core.report(new ConduitError(ErrorCode.CONNECTION_CLOSED, message, { cause }), { stage: "send", count });
  }
}
