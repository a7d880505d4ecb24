/**
 * REFUSED: a message or call without a reply has failed on the other side. Its sender requests this notification by a
 * flag; broadcasts don't.
 */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";
import { asConduitError, codeOf, ErrorCode, failureIdOf, messageOf, RpcError } from "../errors.ts";
import { REPORT_WINDOW_MS } from "../limits.ts";
import { clipToKeep, oneLine } from "../text/describe-value.ts";
import { ReportWindows } from "../util/report-windows.ts";

/** `{name: str, code: int, error: str, failure_id?: str, count: int}`. */
export const REFUSED_FRAME = 0x0110;
/** Names and messages are truncated to this many characters when sent and received. */
const MAX_TEXT_CHARS = 1000;
const MAX_REFUSED_BYTES = 16 * 1024;
/** More than a connection can carry in the second that one report covers. */
const MAX_COUNT = 1_000_000;

/** The payload of REFUSED. Kept until the next report, so the error, which may quote large data from the peer, is truncated. */
interface Refusal {
  readonly name: string;
  readonly code: number;
  readonly error: string;
  readonly failure_id?: string | undefined;
}

interface State {
  readonly connection: ExtensionHost;
  /** Merges failures by code: one report per window with their number, and the rest when the connection closes. */
  sent: ReportWindows<Refusal> | null;
  received: ReportWindows<RpcError> | null;
}

export const refusal: Extension<true, State> = {
  name: "refusal",
  frames: [{ type: REFUSED_FRAME, maxPayloadBytes: MAX_REFUSED_BYTES }],
  offer: () => true,
  accept: acceptWithoutParams,
  enables: "reportsRefusals",
  makeState: (connection) => ({ connection, sent: null, received: null }),
  requestRefused(state, name, error) {
    const { connection } = state;
    state.sent ??= new ReportWindows(REPORT_WINDOW_MS);
    const refused = refusalOf(name, error);
    const count = state.sent.add(refused.code, refused, connection.context.runtime.now());
    if (count > 0) sendRefused(connection, refused, count);
  },
  receive(state, frame) {
    const { connection } = state;
    const { name, code: given, error, failure_id, count: many } = connection.readMap(frame) ?? {};
    const code = Number.isSafeInteger(given) ? (given as number) : ErrorCode.UNKNOWN;
    const method = textOf(name) ?? "";
    const text = textOf(error) ?? "";
    const failureId = textOf(failure_id);
    const details = failureId === null ? undefined : { failure_id: failureId };
    const refused = new RpcError(code, text, { method, details });
    const stands = Number.isSafeInteger(many) && (many as number) > 0 ? (many as number) : 1;
    state.received ??= new ReportWindows(REPORT_WINDOW_MS);
    const count = state.received.add(code, refused, connection.context.runtime.now(), stands);
    if (count > 0) connection.sendRefused(refused, Math.min(count, MAX_COUNT));
  },
  closing({ connection, sent }, reason) {
    if (reason.byPeer) return;
    for (const { report, count } of sent?.end() ?? []) sendRefused(connection, report, count);
  },
  closed({ connection, received }) {
    for (const { report, count } of received?.end() ?? []) {
      connection.sendRefused(report, Math.min(count, MAX_COUNT));
    }
  },
};

/** A peer's text in the form that is kept and shown; null if the value isn't text. */
function textOf(value: unknown): string | null {
  return typeof value === "string" ? oneLine(clipToKeep(value, MAX_TEXT_CHARS)) : null;
}

function refusalOf(name: string, error: RpcError): Refusal {
  const failureId = failureIdOf(error);
  return {
    name: clipToKeep(name, MAX_TEXT_CHARS),
    code: codeOf(error),
    error: clipToKeep(messageOf(error), MAX_TEXT_CHARS),
    ...(failureId === undefined ? {} : { failure_id: failureId }),
  };
}

function sendRefused(connection: ExtensionHost, refused: Refusal, count: number): void {
  try {
    connection.sendPayload(REFUSED_FRAME, { ...refused, count }, "reply");
  } catch (failure) {
    const { name, code } = refused;
    connection.sendPayload(REFUSED_FRAME, { name, code, count, error: "The error cannot be sent" }, "reply");
    connection.report(asConduitError(failure));
  }
}
