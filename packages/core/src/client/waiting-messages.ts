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
 * Holds back, until a client's next login ends, messages of former connections that no server has handled, and then
 * messages with `ack` that weren't answered, and messages and calls made since. They leave in this order, before
 * anything else.
 */
export class WaitingMessages<Peer> {
  /** Takes what is sent meanwhile. */
  readonly sender: OfflineSender;
  readonly #core: EndpointCore<Peer>;
  readonly #isQueued: boolean;
  readonly #queue: OfflineQueue<Outgoing>;
  #unhandled: UnhandledMessage[] = [];
  /** How many of them can't be sent again; null if no server was started anew. */
  #lost: number | null = null;

  constructor(core: EndpointCore<Peer>, config: ClientConfig, host: OfflineHost) {
    this.#core = core;
    this.#isQueued = config.queueWhileDisconnected === "send";
    this.#queue = new OfflineQueue(core.wheel, config);
    this.sender = new OfflineSender(this.#queue, host);
  }

  /** Messages that a server has not taken. */
  keep(messages: readonly UnhandledMessage[]): void {
    // They may be more than a function takes arguments.
    for (const message of messages) this.#unhandled.push(message);
  }

  /** The server was started anew. Messages that it hasn't handled are kept; `lost` further ones can't be sent again. */
  restored(messages: readonly UnhandledMessage[], lost: number): void {
    this.keep(messages);
    this.#lost = lost;
  }

  /** Whether a server that was started anew gets messages of a session that has ended. */
  get isRestored(): boolean {
    return this.#lost !== null;
  }

  /**
   * The login is complete: sends again what a server that was started anew hasn't handled. Returns the event for `onResume`;
   * null if there was none.
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

  /** Sends what waited for the connection. */
  sendAll({ sender }: ProtocolConnection<Peer>): void {
    this.#queue.sendAll(sender);
  }

  /**
   * The login has failed, or the server is stopping. With `queueWhileDisconnected: "send"` all wait for the next one.
   * @param isFollowed whether another login follows by itself, for which messages with `ack` always wait
   */
  loginFailed(error: Error, isFollowed: boolean): void {
    if (this.#isQueued) return;
    if (isFollowed) this.#queue.rejectOthers(error);
    else this.#queue.rejectAll(error);
  }

  /** Where the attempts of a message with `ack` go. @param usable the connection, if it takes messages now */
  attempts(usable: () => Outgoing | null): MessageAttempts {
    return new QueuedAttempts(this.#queue, this.sender, { way: usable, canLeave: () => true });
  }

  /** No connection will follow. @param reason makes the error, if anything waits */
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
