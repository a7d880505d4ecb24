/**
 * The two timers of a link: the one of its present phase (login, connect hooks, closing) and the one of its heartbeats.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import { NETCONDUIT_LINGER_MS } from "../limits.ts";
import { Heartbeat } from "../session/heartbeat.ts";
import { TimerEntry } from "../session/timer-wheel.ts";
import { FrameType } from "../wire/constants.ts";
import type { Login } from "./admission.ts";
import type { Link } from "./link.ts";

export class PhaseTimer<Face> extends TimerEntry {
  readonly #link: Link<Face>;
  /** See {@link Link.login}. */
  login: Login<Face> | null = null;
  /** When the end is forced, once closing has begun. */
  #closeDeadlineMs = 0;

  constructor(link: Link<Face>) {
    super();
    this.#link = link;
  }

  /** From now on it bounds closing: to `closeTimeoutMs`, or less for a peer that leaves its end open. */
  startClosing(): void {
    const { engine, settings } = this.#link.owner;
    const { closeTimeoutMs } = settings;
    this.#closeDeadlineMs = engine.runtime.now() + closeTimeoutMs;
    // A netconduit peer leaves its end of the connection open, so nobody waits for its FIN.
    const netconduit = this.#link.info?.netconduit === true;
    engine.wheel.schedule(this, netconduit ? Math.min(closeTimeoutMs, NETCONDUIT_LINGER_MS) : closeTimeoutMs);
  }

  override onTimer(): void {
    const link = this.#link;
    if (link.isOver) return;
    if (link.closeReason === null) {
      link.owner.phaseTimedOut(link);
      return;
    }
    const { engine } = link.owner;
    const leftMs = this.#closeDeadlineMs - engine.runtime.now();
    if (link.bufferedBytes > 0 && leftMs > 0) {
      engine.wheel.schedule(this, Math.min(leftMs, NETCONDUIT_LINGER_MS));
      return;
    }
    link.stream.destroy(null);
    link.closed(null);
  }
}

export class LinkHeartbeat<Face> extends Heartbeat {
  readonly #link: Link<Face>;

  constructor(link: Link<Face>, now: number) {
    super(link.owner.settings, now);
    this.#link = link;
  }

  override onTimer(): void {
    const link = this.#link;
    // A connection that is being closed has its own deadline.
    if (link.isOver || link.closeReason !== null) return;
    link.rest();
    const { engine, settings, writer } = link.owner;
    const now = engine.runtime.now();
    this.activity(link.heardAtMs);
    if (!link.isReading) link.intake.judgeSilence(now);
    const verdict = this.check(now);
    if (verdict === "dead") {
      const message = `No sign of life for ${settings.heartbeatTimeoutMs} ms`;
      link.destroy(new ConduitError(ErrorCode.HEARTBEAT_TIMEOUT, message));
      return;
    }
    if (verdict === "ping") {
      writer.control(FrameType.HEARTBEAT_PING, 0, 0);
      link.outbox.push(writer, "urgent");
      this.sent(now);
    }
    engine.wheel.schedule(this, this.nextCheckMs(now));
  }
}
