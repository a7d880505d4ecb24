import type { ConnectionResumption } from "../connection/connection-resumption.ts";
import type { ConnectionStateMachine } from "../connection/connection-state.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { handledIn } from "../connection/send/unhandled-messages.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { resume } from "../extensions/resume/resume.ts";
import { isCount } from "../util/is-count.ts";
import { isMap } from "../util/is-map.ts";
import { RunningTimer } from "../util/time.ts";
import type { AcceptedLogin } from "./client-login.ts";
import type { ResumedSession } from "./resumed-session.ts";
import type { WaitingMessages } from "./waiting-messages.ts";

/** A session that the server has resumed. */
export interface ResumableSession<Peer> {
  readonly connection: ProtocolConnection<Peer>;
  readonly resumption: ConnectionResumption;
  /** Number of bytes that the server has received. */
  readonly theirReceived: number;
}

/** A client's connection that has lost its stream, until it is resumed or ends. */
export class WaitingSession<Peer> {
  readonly #context: RuntimeContext;
  /** Receives the messages to resend to a restarted server. */
  readonly #messages: Pick<WaitingMessages<Peer>, "restored">;
  #connection: ProtocolConnection<Peer> | null = null;
  #expiry: RunningTimer | null = null;
  #resumed: ResumedSession | null = null;

  constructor(context: RuntimeContext, messages: Pick<WaitingMessages<Peer>, "restored">) {
    this.#context = context;
    this.#messages = messages;
  }

  get connection(): ProtocolConnection<Peer> | null {
    return this.#connection;
  }

  /** The session that the last login resumed; null if it started a new one. */
  get resumed(): ResumedSession | null {
    return this.#resumed;
  }

  /** Keeps the connection for as long as the server keeps the session. */
  start(connection: ProtocolConnection<Peer>): void {
    const windowMs = connection.extension(resume)?.theirs.window_ms ?? 0;
    this.#connection = connection;
    const { wheel, runtime } = this.#context;
    this.#expiry = new RunningTimer(wheel, runtime, () => {
      const message = `The session expired: the server wasn't reached within ${windowMs} ms`;
      connection.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, message));
    });
    this.#expiry.start(windowMs);
  }

  /** The connection was resumed or has ended. */
  end(): void {
    this.#expiry?.stop();
    this.#expiry = null;
    this.#connection = null;
  }

  /** The session to request from a server; undefined if none is waiting. */
  request(token: string | undefined): { readonly token: string; readonly received: number } | undefined {
    const stream = this.#connection?.resumption?.stream;
    return stream === undefined || token === undefined ? undefined : { token, received: stream.received };
  }

  /**
   * The server has accepted a login. If it doesn't know the waiting session, ends that one.
   * @returns the session if the server has resumed it
   * @throws ConduitError SESSION_EXPIRED if the server has resumed a session that has ended here,
   *   INVALID_PAYLOAD_SHAPE
   */
  answered({ resumed, expired }: Pick<AcceptedLogin, "resumed" | "expired">): ResumableSession<Peer> | null {
    this.#resumed = null;
    const connection = this.#connection;
    const theirReceived = receivedIn(resumed);
    if (connection === null || connection.resumption === null) {
      if (theirReceived === null) return null;
      // The server would continue in the middle of the byte stream.
      const message = "The session expired here while it was being resumed";
      throw new ConduitError(ErrorCode.SESSION_EXPIRED, message);
    }
    const { resumption } = connection;
    if (theirReceived !== null && resumption.stream.sent.isPossible(theirReceived)) {
      return { connection, resumption, theirReceived };
    }
    const taken = receivedIn(expired);
    if (taken !== null) resumption.stream.acknowledge(taken);
    const handled = handledIn(expired);
    const rest = handled === null ? null : (connection.sender.unhandled?.rest(handled) ?? null);
    if (rest !== null) {
      this.#messages.restored(rest.messages, rest.lost);
      connection.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, "The server was restarted"));
      return null;
    }
    connection.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, "The server doesn't know the session any more"));
    if (theirReceived === null) return null;
    throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "resumed of AUTH_SUCCESS has an impossible number");
  }

  /**
   * Continues over a login's stream.
   * @param machine the state machine of the login's attempt
   */
  resume(
    { connection, resumption, theirReceived }: ResumableSession<Peer>,
    login: ProtocolConnection<Peer>,
    machine: ConnectionStateMachine,
  ): void {
    this.end();
    resumption.stream.acknowledge(theirReceived);
    const replayed = resumption.unacknowledgedFrames;
    connection.machine = machine;
    const handed = login.resumption?.handOver();
    if (handed !== undefined) resumption.resume(handed, theirReceived);
    // Confirms the new token to the server.
    connection.extension(resume)?.acknowledge();
    this.#resumed = { replayed, lost: 0, restarted: false };
  }
}

/** The number of bytes in `resumed` or `expired` of AUTH_SUCCESS; null if absent. */
function receivedIn(answer: unknown): number | null {
  const received = isMap(answer) ? answer["received"] : null;
  return isCount(received) ? received : null;
}
