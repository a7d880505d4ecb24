/** The figures of README.md's section on speed. */
import { wrap } from "./format.ts";
import { findRow, type Row, rowRatio } from "./results.ts";

/** `6.9 ×`, with two significant digits. */
function times(rows: readonly Row[], scenario: string, variant: string, metric: string, to: string): string {
  const row = findRow(rows, { scenario, variant, metric, pair: "node", peer: "netconduit" });
  const ratio = row === undefined ? null : rowRatio(rows, row, to);
  return `${ratio === null ? "(not measured)" : Number(ratio.median.toPrecision(2))} ×`;
}

/** A list of netconduit's ratios on Node.js, in Markdown. */
export function speedSummary(rows: readonly Row[], columns: number): string {
  const calls = (to: string): string => times(rows, "rpc", "64 in flight", "calls", to);
  const broadcasts = (variant: string, to: string): string => times(rows, "broadcast", variant, "deliveries", to);
  const mebibytes = (to: string): string => times(rows, "binary", `1 MiB to the ${to}`, "speed", "raw");
  const connects = times(rows, "connects", "64 at a time", "connects", "ws");
  const memory = times(rows, "memory", "10000 connections", "rss", "ws");
  return [
    `- **Calls** with validated parameters, 64 in flight on one connection: ${calls("ws")} \`ws\` with hand-written ` +
      `JSON, ${calls("socket.io")} socket.io, ${calls("grpc-js")} grpc-js.`,
    `- **Broadcasts** to 1,000 clients: one at a time ${broadcasts("one at a time", "ws")} \`ws\`; ten in a tick ` +
      `${broadcasts("ten in a tick", "raw")} a loop of single socket writes.`,
    `- **Connects** per second, login included: ${connects} \`ws\` upgrades.`,
    `- **Memory** of an idle connection: ${memory} \`ws\`.`,
    `- **Binary messages** of 1 MiB: ${mebibytes("server")} a bare socket to the server, ${mebibytes("client")} to ` +
      "the client.",
  ]
    .map((line) => wrap(line, columns, "  "))
    .join("\n");
}
