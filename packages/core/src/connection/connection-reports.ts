import { type ConduitError, codeOf, messageOf, RpcError } from "../errors.ts";
import { REPORT_WINDOW_MS } from "../limits.ts";
import { clipToKeep } from "../text/describe-value.ts";
import { ReportWindows } from "../util/report-windows.ts";

/** Limit of an error message kept for a report. */
const MAX_REPORT_CHARS = 1000;

/** Receives the reports. `count` is how many failures a report covers. */
export interface ReportReceiver {
  frameRefused(error: ConduitError, count: number): void;
  messageFailed(error: ConduitError, type: string, count: number): void;
}

/** A failed message. The error itself isn't kept, because it may quote large data from the peer. */
interface FailedMessage {
  readonly code: number;
  readonly message: string;
  readonly type: string;
}

/**
 * Reports failures caused by the peer: each kind once per window with the number, and the rest when the connection
 * has ended.
 */
export class ConnectionReports {
  readonly #receiver: ReportReceiver;
  readonly #frames: ReportWindows<ConduitError> = new ReportWindows(REPORT_WINDOW_MS);
  readonly #messages: ReportWindows<FailedMessage> = new ReportWindows(REPORT_WINDOW_MS);

  constructor(receiver: ReportReceiver) {
    this.#receiver = receiver;
  }

  /** Adds a rejected frame. Kinds are told apart by code. */
  addFrame(error: ConduitError, nowMs: number): void {
    const count = this.#frames.add(error.code, error, nowMs);
    if (count > 0) this.#receiver.frameRefused(error, count);
  }

  /** Adds a failed message. Kinds are told apart by code and type. */
  addMessage(error: ConduitError, type: string, nowMs: number): void {
    const failed = { code: codeOf(error), message: clipToKeep(messageOf(error), MAX_REPORT_CHARS), type };
    const count = this.#messages.add(`${failed.code} ${type}`, failed, nowMs);
    if (count > 0) this.#receiver.messageFailed(error, type, count);
  }

  /** Reports the rest when the connection has ended. */
  end(): void {
    for (const { report, count } of this.#frames.end()) this.#receiver.frameRefused(report, count);
    for (const { report, count } of this.#messages.end()) {
      const { code, message, type } = report;
      this.#receiver.messageFailed(new RpcError(code, message, { method: type }), type, count);
    }
  }
}
