/**
 * A dashboard of the fleet: the connected devices, their samples, logs and uploads. In a terminal, it draws a screen
 * and is controlled by keys. Otherwise it prints lines and reads commands from standard input:
 *
 *     record [DEVICE] [MEBIBYTES]    limit MEBIBYTES_PER_SECOND    cut    kill    quit
 *
 *     node examples/fleet/dashboard.ts
 *
 * Environment: HOST (127.0.0.1), PORT (7450), PASSWORD (secret123).
 */

import { createInterface } from "node:readline";
import { fleet, type Place } from "./contract.ts";
import { Client, ConduitError } from "./netconduit.ts";
import { type DeviceView, draw, HEAT_WIDTH, type Picture, type Tone } from "./picture.ts";

const { HOST = "127.0.0.1", PORT = "7450", PASSWORD = "secret123" } = process.env;
const { stdin, stdout } = process;

const client = new Client({
  name: "dashboard",
  host: HOST,
  port: Number(PORT),
  password: PASSWORD,
  contract: fleet,
  reconnect: { delayMs: 100, maxDelayMs: 1000 },
});

const picture: Picture = {
  server: "",
  isConnected: false,
  latencyMs: null,
  dashboards: 0,
  devices: new Map(),
  log: [],
  events: [],
};

// --- The connection -------------------------------------------------------------------------------------------------

client.onConnect(() => {
  picture.server = client.serverInfo?.name ?? "";
  picture.isConnected = true;
  addEvent(`connected to the ${picture.server}`, "good");
});
client.onDisconnect((_, { message }) => {
  picture.isConnected = false;
  addEvent(`disconnected: ${message}`, "bad");
});
client.onReconnectAttemptFailed((_, { attempts }) => {
  if (attempts === 1) addEvent("the server can't be reached", "bad");
});
client.onError((error, { stage }) => addEvent(`error (${stage}): ${error.message}`, "bad"));

// --- Presence -------------------------------------------------------------------------------------------------------

async function watchFleet(): Promise<void> {
  const news = client.subscribe("fleet");
  await news.ready;
  news.onResume(({ recovered, missed }) => showResume("news", recovered, missed));
  news.presence?.onChange(({ joined, usersJoined, usersLeft }) => {
    picture.dashboards = (news.presence?.clients ?? []).filter(({ user }) => user === null).length;
    for (const name of usersLeft) deviceView(name).isConnected = false;
    for (const name of usersJoined) deviceView(name).isConnected = true;
    if (usersJoined.length > 0) addEvent(`${usersJoined.join(", ")} joined`, "good");
    // While the subscription isn't live, the presence is unknown: users disappear from it without having left.
    if (usersLeft.length > 0 && news.isLive) addEvent(`${usersLeft.join(", ")} left`, "bad");
    // Read the log over each new connection of a device, even if its user never left.
    for (const { user } of joined) if (user !== null) runInBackground(readLog(user));
  });
  for await (const { text } of news) addEvent(text);
}

function deviceView(name: string): DeviceView {
  let device = picture.devices.get(name);
  if (device === undefined) {
    device = { name, isConnected: false, sample: null, missing: 0, celsius: [] };
    picture.devices.set(name, device);
    runInBackground(readTelemetry(device));
  }
  return device;
}

// --- Telemetry and logs ---------------------------------------------------------------------------------------------

/** The client resubscribes automatically after a reconnect. */
async function readTelemetry(device: DeviceView): Promise<void> {
  const telemetry = client.subscribe(`telemetry:${device.name}`);
  telemetry.onResume(({ recovered, missed }) => showResume(`telemetry of ${device.name}`, recovered, missed));
  for await (const sample of telemetry) {
    const { run, number, celsius, uploads } = sample;
    const last = device.sample?.run === run ? device.sample.number : number - 1;
    // After a restart, the server may repeat samples: skip known ones.
    if (number <= last) continue;
    device.missing += number - last - 1;
    device.sample = sample;
    device.celsius.push(celsius);
    device.celsius.splice(0, device.celsius.length - HEAT_WIDTH);
    show(`${device.name} sample ${number}: ${celsius.toFixed(1)} °C`);
    for (const { file, bytes, total, resumedFrom } of uploads) {
      show(`${file}: ${bytes} of ${total} bytes, from ${resumedFrom} on`);
    }
  }
}

function showResume(what: string, recovered: boolean, missed: number | null): void {
  if (recovered) addEvent(`${what}: back and recovered, nothing missed`, "good");
  else if (missed === null) addEvent(`${what}: back, not recovered: the server is a new one`);
  else addEvent(`${what}: back, not recovered: ${missed} missed`);
}

/** The last line of each device's log. */
const lastLines = new Map<string, Place>();

/** The stream ends with the device's connection. The next call continues after the last line received. */
async function readLog(device: string): Promise<void> {
  for await (const line of client.stream("log", { device, after: lastLines.get(device) ?? null })) {
    const last = lastLines.get(device);
    // The stream over the device's previous connection may still be open.
    if (last?.run === line.run && line.number <= last.number) continue;
    lastLines.set(device, line);
    picture.log.push({ device, line });
    picture.log.splice(0, picture.log.length - 100);
    show(`${device} log ${line.number}: ${line.text}`);
  }
}

/** Runs work in the background. A stream or subscription that fails doesn't end the dashboard. */
function runInBackground(work: Promise<void>): void {
  work.catch((error: unknown) => {
    if (!(error instanceof ConduitError)) throw error;
    if (error.codeName !== "CONNECTION_CLOSED") addEvent(`${error.codeName}: ${error.message}`, "bad");
  });
}

// --- Commands -------------------------------------------------------------------------------------------------------

async function execute(command: string): Promise<void> {
  const [verb, first, second] = command.split(" ");
  switch (verb) {
    case "record": {
      const device = first ?? [...picture.devices.keys()].sort()[0] ?? "";
      const file = await client.call("record", { device, mebibytes: Number(second ?? 24) });
      return addEvent(`${device} records ${file}`);
    }
    case "limit": {
      const mebibytesPerSecond = Number(first);
      const devices = await client.call("limit", { mebibytesPerSecond });
      const who = devices === 1 ? "1 device uploads" : `${devices} devices upload`;
      return addEvent(`${who} at most ${mebibytesPerSecond} MiB/s${devices === 1 ? "" : " each"}`);
    }
    case "cut":
    case "kill":
      client.callNoWait(verb);
      return;
    case "quit":
      return quit();
    default:
      return addEvent(`unknown command: ${command}`);
  }
}

const KEYS: Readonly<Record<string, string>> = { r: "record", c: "cut", k: "kill", q: "quit", "\u0003": "quit" };

function readCommands(): void {
  if (!stdin.isTTY) {
    createInterface({ input: stdin }).on("line", (line) => runInBackground(execute(line)));
    return;
  }
  let isFast = false;
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  stdin.on("data", (key: string) => {
    if (key === "l") isFast = !isFast;
    const command = key === "l" ? `limit ${isFast ? 8 : 2}` : KEYS[key];
    if (command !== undefined) runInBackground(execute(command));
  });
}

async function quit(): Promise<void> {
  await client.disconnect();
  process.exit();
}

// --- Output ---------------------------------------------------------------------------------------------------------

function addEvent(text: string, tone: Tone = "plain"): void {
  picture.events.push({ at: new Date(), text, tone });
  picture.events.splice(0, picture.events.length - 100);
  show(text);
}

let isDrawn = true;

/** In a terminal, schedules a redraw of the screen; otherwise prints the line. */
function show(line: string): void {
  if (stdout.isTTY) isDrawn = false;
  else console.log(line);
}

function tick(): void {
  picture.latencyMs = client.latencyMs;
  if (isDrawn) return;
  isDrawn = true;
  stdout.write(draw(picture, stdout.columns, stdout.rows));
}

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void quit());
await client.connect();
if (stdout.isTTY) {
  // Switches to the alternate screen, and back at the end, also after a failure.
  stdout.write("\u001b[?1049h\u001b[?25l\u001b[2J");
  process.once("exit", () => stdout.write("\u001b[?25h\u001b[?1049l"));
  setInterval(tick, 100);
}
readCommands();
runInBackground(watchFleet());
