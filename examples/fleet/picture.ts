/** The dashboard's view of the fleet, and how it is drawn in a terminal. */

import type { LogLine, Sample, Upload } from "./contract.ts";

/** The colour of an event. */
export type Tone = "good" | "bad" | "plain";

export interface DeviceView {
  readonly name: string;
  isConnected: boolean;
  sample: Sample | null;
  /** Number of missing samples. */
  missing: number;
  /** The most recent temperatures. */
  readonly celsius: number[];
}

export interface Picture {
  /** The server's name; empty before the first login. */
  server: string;
  isConnected: boolean;
  latencyMs: number | null;
  /** Number of dashboards, including this one. */
  dashboards: number;
  readonly devices: Map<string, DeviceView>;
  readonly log: { readonly device: string; readonly line: LogLine }[];
  readonly events: { readonly at: Date; readonly text: string; readonly tone: Tone }[];
}

const HEAT = "▁▂▃▄▅▆▇█";
export const HEAT_WIDTH = 24;
const BAR_WIDTH = 24;
const LOG_ROWS = 5;
const KEYS = "[r] record, upload   [l] change limit   [c] cut connection   [k] kill server   [q] quit";

const ESCAPE = "\u001b[";
const styled = (code: number) => (text: string) => `${ESCAPE}${code}m${text}${ESCAPE}0m`;
const bold = styled(1);
const dim = styled(2);
const red = styled(31);
const green = styled(32);
const yellow = styled(33);
const cyan = styled(36);
const TONES: Readonly<Record<Tone, (text: string) => string>> = { good: green, bad: red, plain: (text) => text };

/** Returns the whole screen, one line for each row, with escape sequences. */
export function draw(picture: Picture, columns: number, rows: number): string {
  const devices = [...picture.devices.values()].sort((a, b) => a.name.localeCompare(b.name));
  const uploads = devices.flatMap(({ sample }) => sample?.uploads.map(uploadLine) ?? []);
  const top = [
    header(picture),
    "",
    ...devices.map(deviceLine),
    "",
    ...section("UPLOADS", uploads.length > 0 ? uploads : [dim("none")]),
    "",
  ];
  const eventRows = Math.max(1, rows - top.length - LOG_ROWS - 5);
  const log = picture.log.toSorted((a, b) => a.line.at.getTime() - b.line.at.getTime());
  const logLines = log.slice(-LOG_ROWS).map(({ device, line }) => {
    return `${dim(clock(line.at))}  ${cyan(device)} ${dim(String(line.number).padStart(3))}  ${line.text}`;
  });
  const events = picture.events
    .slice(-eventRows)
    .map(({ at, text, tone }) => `${dim(clock(at))}  ${TONES[tone](text)}`);
  const lines = [
    ...top,
    ...section("LOGS", filled(logLines, LOG_ROWS)),
    "",
    ...section("EVENTS", filled(events, eventRows)),
  ];
  lines.push("", dim(KEYS));
  return `${ESCAPE}H${lines.map((line) => `${clipped(line, columns)}${ESCAPE}K`).join("\r\n")}${ESCAPE}J`;
}

function header({ server, isConnected, latencyMs, dashboards, devices }: Picture): string {
  const here = [...devices.values()].filter((device) => device.isConnected).length;
  const link = isConnected ? green("● connected") : red("● reconnecting");
  const latency = latencyMs === null || !isConnected ? "" : dim(`  ${latencyMs.toFixed(1)} ms`);
  const present = `${here} of ${devices.size} devices, ${dashboards} ${dashboards === 1 ? "dashboard" : "dashboards"}`;
  return `${bold(server)}  ${link}${latency}  ${dim(present)}`;
}

function deviceLine({ name, isConnected, sample, missing, celsius }: DeviceView): string {
  const state = isConnected ? green("●") : red("○");
  if (sample === null) return `${state} ${bold(name)}  ${dim("no sample yet")}`;
  const low = Math.min(...celsius);
  const step = (Math.max(...celsius) - low) / (HEAT.length - 1) || 1;
  const heat = celsius.map((value) => HEAT[Math.round((value - low) / step)]).join("");
  const figures = `${sample.celsius.toFixed(1)} °C  ${cyan(heat.padStart(HEAT_WIDTH))}  ${sample.bar.toFixed(2)} bar`;
  const count = `${sample.number} samples, ${missing} missing`;
  return `${state} ${bold(name)}  ${figures}  ${dim(`${count.padEnd(24)}  ${sample.runtime}`)}`;
}

function uploadLine({ file, bytes, resumedFrom, total, bytesPerSecond }: Upload): string {
  const before = Math.floor((BAR_WIDTH * resumedFrom) / total);
  const done = Math.floor((BAR_WIDTH * bytes) / total);
  const bar = `${cyan("█".repeat(before))}${green("█".repeat(done - before))}${dim("░".repeat(BAR_WIDTH - done))}`;
  const rate = `${mebibytes(bytesPerSecond)} MiB/s`;
  const note = resumedFrom === 0 ? rate : `${rate}, continued at ${mebibytes(resumedFrom)} MiB`;
  return `${file}  ${bar}  ${mebibytes(bytes)} of ${mebibytes(total)} MiB  ${dim(note)}`;
}

function section(title: string, lines: readonly string[]): string[] {
  return [yellow(title), ...lines];
}

function filled(lines: readonly string[], rows: number): string[] {
  return [...lines, ...Array<string>(rows - lines.length).fill("")];
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function clock(at: Date): string {
  return at.toTimeString().slice(0, 8);
}

/** Truncates a line to a width. Escape sequences have no width. */
function clipped(line: string, columns: number): string {
  let [width, text] = [0, ""];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what an escape sequence begins with
  for (const part of line.split(/(\u001b\[\d+m)/)) {
    if (part.startsWith(ESCAPE)) {
      text += part;
      continue;
    }
    text += part.slice(0, columns - width);
    width = Math.min(columns, width + part.length);
  }
  return text;
}
