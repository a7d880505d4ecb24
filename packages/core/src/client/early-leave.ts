import type { DrainNotice } from "../connection/extension.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { ErrorCode } from "../errors.ts";
import { TimerEntry } from "../util/timer-wheel.ts";

/** Clients leave within this time, or within half of the server's drain time if that is shorter. */
const MAX_SPREAD_MS = 10_000;
/** Interval of checks while the client has pending work. */
const CHECK_MS = 50;

/**
 * Makes a client leave a stopping server at a random moment once it has no pending work, so that it reconnects before
 * the server closes all connections at the same time.
 */
export class EarlyLeave<Peer> extends TimerEntry {
  readonly #connection: ProtocolConnection<Peer>;

  constructor(connection: ProtocolConnection<Peer>, { endsInMs }: DrainNotice, hasJitter: boolean) {
    super();
    this.#connection = connection;
    const spreadMs = hasJitter ? Math.random() * Math.min(endsInMs / 2, MAX_SPREAD_MS) : 0;
    connection.context.wheel.schedule(this, spreadMs);
  }

  /** A connection has ended. */
  ended(connection: ProtocolConnection<Peer>): void {
    if (connection === this.#connection) this.#connection.context.wheel.cancel(this);
  }

  override onTimer(): void {
    const connection = this.#connection;
    if (!connection.isOpen) return;
    if (isBusy(connection)) {
      connection.context.wheel.schedule(this, CHECK_MS);
      return;
    }
    const message = "The client left a server that is stopping";
    void connection.close({ code: ErrorCode.SERVER_STOPPING, message, reconnect: true });
  }
}

/** Whether anything would be lost if the connection closed now. */
function isBusy<Peer>({
  isSuspended,
  pendingCalls,
  resumption,
  scheduler,
  sender,
  sendQueue,
}: ProtocolConnection<Peer>): boolean {
  const isWorking = pendingCalls > 0 || scheduler.runningHandlers > 0 || scheduler.queuedHandlers > 0;
  const isSending = sendQueue.bufferedBytes > 0 || (resumption?.unacknowledgedFrames ?? 0) > 0;
  return isSuspended || isWorking || isSending || (sender.unhandled?.count ?? 0) > 0;
}
