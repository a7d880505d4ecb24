import type { CallSettings, MessageAttempts } from "../endpoint/acknowledged-send.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { ONCE_METHOD } from "../rpc/once-window.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { OfflineQueue } from "./offline-queue.ts";
import type { OfflineSender } from "./offline-sender.ts";

/** The route of one message's attempts. */
export interface AttemptRoute {
  /** The connection or queue to send over; null if there is none at the moment. */
  way(): Pick<Outgoing, "call"> | null;
  /** Whether a waiting attempt may be sent, now that there is a connection. */
  canLeave(): boolean;
}

/** The attempts of a message with `ack` from a client or pool. While there is no connection they wait, and are then sent in order. */
export class QueuedAttempts implements MessageAttempts {
  readonly #place: number;
  readonly #offline: OfflineSender;
  readonly #route: AttemptRoute;
  #sent = 0;

  constructor(queue: Pick<OfflineQueue<Outgoing>, "takePlace">, offline: OfflineSender, route: AttemptRoute) {
    this.#place = queue.takePlace();
    this.#offline = offline;
    this.#route = route;
  }

  get sent(): number {
    return this.#sent;
  }

  get mustWait(): boolean {
    return this.#route.way() === null;
  }

  call(params: EncodedValue, options: CallSettings): Promise<unknown> {
    const send = (way: Pick<Outgoing, "call">, given: CallSettings): Promise<unknown> => {
      this.#sent += 1;
      return way.call(ONCE_METHOD, params, given, null);
    };
    const now = this.#route.way();
    if (now !== null) return send(now, options);
    const attempt = { place: this.#place, isAgain: this.#sent > 0, canLeave: () => this.#route.canLeave() };
    return this.#offline.attempt(attempt, params, options, (connection) =>
      send(this.#route.way() ?? connection, { ...options, isTaken: true }),
    );
  }
}
