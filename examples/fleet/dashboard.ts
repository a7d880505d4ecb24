/**
 * A dashboard of the fleet: who is there, what they measure, their logs and their uploads. In a terminal it draws a screen
 * and takes keys. Otherwise it prints lines, and reads commands from standard input:
 *
 *     record [DEVICE] [MEBIBYTES]    limit MEBIBYTES_PER_SECOND    cut    kill    quit
 *
 *     node examples/fleet/dashboard.ts
 *
 * Environment: HOST (127.0.0.1), PORT (7450), PASSWORD (secret123).
 */

import { createInterface } from "node:readline";
import { fleet } from "./contract.ts";
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
  happened(`connected to the ${picture.server}`, "good");
});
client.onDisconnect((_, { message }) => {
  picture.isConnected = false;
  happened(`disconnected: ${message}`, "bad");
});
client.onReconnectAttemptFailed((_, { attempts }) => {
  if (attempts === 1) happened("the server can't be reached", "bad");
});
client.onError((error, { stage }) => happened(`error (${stage}): ${error.message}`, "bad"));

// --- Who is there ---------------------------------------------------------------------------------------------------

async function watchFleet(): Promise<void> {
  const everybody = client.subscribe("fleet");
  await everybody.ready;
  everybody.onResume(({ recovered, missed }) => tellOfReturn("news", recovered, missed));
  everybody.presence?.onChange(({ joined, usersJoined, usersLeft }) => {
    picture.dashboards = (everybody.presence?.clients ?? []).filter(({ user }) => user === null).length;
    for (const name of usersLeft) deviceView(name).isHere = false;
    for (const name of usersJoined) deviceView(name).isHere = true;
    if (usersJoined.length > 0) happened(`${usersJoined.join(", ")} joined`, "good");
    // While it isn't live, nobody is known to be there, which isn't to say that they left.
    if (usersLeft.length > 0 && everybody.isLive) happened(`${usersLeft.join(", ")} left`, "bad");
    // Each new connection of a device, also of one that nobody has missed.
    for (const { user } of joined) if (user !== null) follow(readLog(user));
  });
  for await (const { text } of everybody) happened(text);
}

function deviceView(name: string): DeviceView {
  let device = picture.devices.get(name);
  if (device === undefined) {
    device = { name, isHere: false, sample: null, missing: 0, celsius: [] };
    picture.devices.set(name, device);
    follow(readTelemetry(device));
  }
  return device;
}

// --- What they say --------------------------------------------------------------------------------------------------

/** A subscription returns by itself after a reconnect. */
async function readTelemetry(device: DeviceView): Promise<void> {
  const telemetry = client.subscribe(`telemetry:${device.name}`);
  telemetry.onResume(({ recovered, missed }) => tellOfReturn(`telemetry of ${device.name}`, recovered, missed));
  for await (const sample of telemetry) {
    const { number, celsius, upload } = sample;
    const last = device.sample?.number ?? number - 1;
    // A new server sends again what it retains.
    if (number <= last) continue;
    device.missing += number - last - 1;
    device.sample = sample;
    device.celsius.push(celsius);
    device.celsius.splice(0, device.celsius.length - HEAT_WIDTH);
    changed(`${device.name} sample ${number}: ${celsius.toFixed(1)} °C`);
    if (upload !== null)
      changed(`${upload.file}: ${upload.bytes} of ${upload.total} bytes, from ${upload.resumedFrom} on`);
  }
}

function tellOfReturn(what: string, recovered: boolean, missed: number | null): void {
  if (recovered) happened(`${what}: back and recovered, nothing missed`, "good");
  else if (missed === null) happened(`${what}: back, not recovered: the server is a new one`);
  else happened(`${what}: back, not recovered: ${missed} missed`);
}

const nextLines = new Map<string, number>();

/** Ends with the connection to the device. The next one continues behind the last line. */
async function readLog(device: string): Promise<void> {
  const from = nextLines.get(device) ?? 1;
  for await (const line of client.stream("log", { device, from })) {
    nextLines.set(device, line.number + 1);
    picture.log.push({ device, line });
    picture.log.splice(0, picture.log.length - 100);
    changed(`${device} log ${line.number}: ${line.text}`);
  }
}

/** Streams and subscriptions that end are no reason to end the dashboard. */
function follow(work: Promise<void>): void {
  work.catch((error: unknown) => {
    if (!(error instanceof ConduitError)) throw error;
    if (error.codeName !== "CONNECTION_CLOSED") happened(`${error.codeName}: ${error.message}`, "bad");
  });
}

// --- What the user says -----------------------------------------------------------------------------------------------

async function obey(command: string): Promise<void> {
  const [verb, first, second] = command.split(" ");
  switch (verb) {
    case "record": {
      const device = first ?? [...picture.devices.keys()].sort()[0] ?? "";
      const file = await client.call("record", { device, mebibytes: Number(second ?? 24) });
      return happened(`${device} records ${file}`);
    }
    case "limit": {
      const mebibytesPerSecond = Number(first);
      const devices = await client.call("limit", { mebibytesPerSecond });
      return happened(`${devices} devices upload at most ${mebibytesPerSecond} MiB/s each`);
    }
    case "cut":
    case "kill":
      client.callNoWait(verb);
      return;
    case "quit":
      return quit();
    default:
      return happened(`unknown command: ${command}`);
  }
}

const KEYS: Readonly<Record<string, string>> = { r: "record", c: "cut", k: "kill", q: "quit", "\u0003": "quit" };

function listen(): void {
  if (!stdin.isTTY) {
    createInterface({ input: stdin }).on("line", (line) => follow(obey(line)));
    return;
  }
  let isFast = false;
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  stdin.on("data", (key: string) => {
    if (key === "l") isFast = !isFast;
    const command = key === "l" ? `limit ${isFast ? 8 : 2}` : KEYS[key];
    if (command !== undefined) follow(obey(command));
  });
}

async function quit(): Promise<void> {
  clearInterval(ticking);
  await client.disconnect();
  if (stdout.isTTY) stdout.write("\u001b[?25h\u001b[?1049l");
  process.exit();
}

// --- What is shown --------------------------------------------------------------------------------------------------

function happened(text: string, tone: Tone = "plain"): void {
  picture.events.push({ at: new Date(), text, tone });
  picture.events.splice(0, picture.events.length - 100);
  changed(text);
}

let isDrawn = true;

/** In a terminal, the screen is drawn soon; otherwise this line is all that is shown. */
function changed(line: string): void {
  if (stdout.isTTY) isDrawn = false;
  else console.log(line);
}

function tick(): void {
  picture.latencyMs = client.latencyMs;
  if (isDrawn) return;
  isDrawn = true;
  stdout.write(draw(picture, stdout.columns, stdout.rows));
}

if (stdout.isTTY) stdout.write("\u001b[?1049h\u001b[?25l\u001b[2J");
const ticking = setInterval(tick, 100);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void quit());
await client.connect();
listen();
follow(watchFleet());
