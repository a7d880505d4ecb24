/**
 * The two timers of a link: the one of its present phase (login, connect hooks, closing) and the one of its heartbeats.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import { NETCONDUIT_LINGER_MS } from "../limits.ts";
import type { Login } from "../server/login-manager.ts";
import { TimerEntry } from "../util/timer-wheel.ts";
import { FrameType } from "../wire/constants.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { ProtocolConnection } from "./protocol-connection.ts";

export class PhaseTimer<Peer> extends TimerEntry {
  readonly #link: ProtocolConnection<Peer>;
  /** See {@link ProtocolConnection.login}. */
  login: Login<Peer> | null = null;
  /** When the end is forced, once closing has begun. */
  #closeDeadlineMs = 0;

  constructor(link: ProtocolConnection<Peer>) {
    super();
    this.#link = link;
  }

  /** From now on it bounds closing: to `closeTimeoutMs`, or less for a peer that leaves its end open. */
  startClosing(): void {
    const { runtimeContext, settings } = this.#link.owner;
    const { closeTimeoutMs } = settings;
    this.#closeDeadlineMs = runtimeContext.runtime.now() + closeTimeoutMs;
    // A netconduit peer leaves its end of the connection open, so nobody waits for its FIN.
    const netconduit = this.#link.info?.netconduit === true;
    runtimeContext.wheel.schedule(this, netconduit ? Math.min(closeTimeoutMs, NETCONDUIT_LINGER_MS) : closeTimeoutMs);
  }

  override onTimer(): void {
    const link = this.#link;
    if (link.isOver) return;
    if (link.closeReason === null) {
      link.owner.phaseTimedOut(link);
      return;
    }
    const { runtimeContext } = link.owner;
    const leftMs = this.#closeDeadlineMs - runtimeContext.runtime.now();
    if (link.bufferedBytes > 0 && leftMs > 0) {
      runtimeContext.wheel.schedule(this, Math.min(leftMs, NETCONDUIT_LINGER_MS));
      return;
    }
    link.stream.destroy(null);
    link.closed(null);
  }
}

export class ConnectionHeartbeat<Peer> extends Heartbeat {
  readonly #link: ProtocolConnection<Peer>;

  constructor(link: ProtocolConnection<Peer>, now: number) {
    super(link.owner.settings, now);
    this.#link = link;
  }

  override onTimer(): void {
    const link = this.#link;
    // A connection that is being closed has its own deadline.
    if (link.isOver || link.closeReason !== null) return;
    link.rest();
    const { runtimeContext, settings, writer } = link.owner;
    const now = runtimeContext.runtime.now();
    this.activity(link.receivedAtMs);
    if (!link.isReading) link.scheduler.judgeSilence(now);
    const verdict = this.check(now);
    if (verdict === "dead") {
      const message = `No sign of life for ${settings.heartbeatTimeoutMs} ms`;
      link.destroy(new ConduitError(ErrorCode.HEARTBEAT_TIMEOUT, message));
      return;
    }
    if (verdict === "ping") {
      writer.control(FrameType.HEARTBEAT_PING, 0, 0);
      link.sendQueue.push(writer, "urgent");
      this.sent(now);
    }
    runtimeContext.wheel.schedule(this, this.nextCheckMs(now));
  }
}
