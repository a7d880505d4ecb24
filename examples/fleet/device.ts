/**
 * Devices of a fleet: they publish samples, keep a log, execute the server's commands and upload recordings. When the
 * server is restarted, they reconnect automatically and continue where they left off.
 *
 *     node examples/fleet/device.ts pump-1 pump-2
 *
 * Environment: HOST (127.0.0.1), PORT (7450), DEVICE_PASSWORD (secret456), FILES (folder for recordings, here by
 * default), INTERVAL_MS (250).
 */

import { open } from "node:fs/promises";
import { join } from "node:path";
import { fleet, type Upload } from "./contract.ts";
import { DeviceLog } from "./device-log.ts";
import { Client, forClient, runtime } from "./netconduit.ts";

const { HOST = "127.0.0.1", PORT = "7450", DEVICE_PASSWORD = "secret456" } = process.env;
const { FILES = ".", INTERVAL_MS = "250" } = process.env;
const MEBIBYTE = 2 ** 20;
const run = Date.now();

async function runDevice(name: string, seed: number): Promise<void> {
  const log = new DeviceLog(run);
  /** By file. */
  const uploads = new Map<string, Upload>();
  let samples = 0;
  let recordings = 0;
  let mebibytesPerSecond = 2;

  const client = new Client({
    host: HOST,
    port: Number(PORT),
    username: name,
    password: DEVICE_PASSWORD,
    contract: forClient(fleet, "device"),
    // Retries without limit, at first after up to 100 ms, later after up to a second.
    reconnect: { delayMs: 100, maxDelayMs: 1000 },
    // Calls made while disconnected are queued: samples arrive after the reconnect, and uploads continue automatically.
    queueWhileDisconnected: "send",
  });

  client.onConnect(() => log.add(`connected to the ${client.serverInfo?.name}`));
  client.onDisconnect((_, { message }) => log.add(`disconnected: ${message}`));
  client.onReconnectAttemptFailed((_, { attempts }) => {
    if (attempts === 1) log.add("the server can't be reached");
  });
  client.onError((error, { stage }) => log.add(`error (${stage}): ${error.message}`));

  // Methods that the server calls.
  client.implement({
    async record({ mebibytes }) {
      recordings += 1;
      const file = `${name}-${recordings}.bin`;
      const recording = await open(join(FILES, file), "w");
      await recording.truncate(mebibytes * MEBIBYTE);
      await recording.close();
      log.add(`recorded ${file}, ${mebibytes} MiB`);
      send(file).catch((error) => log.add(`${file} can't be uploaded: ${error.message}`));
      return file;
    },
    limit(limit) {
      ({ mebibytesPerSecond } = limit);
      log.add(`uploads are limited to ${mebibytesPerSecond} MiB/s`);
    },
    log: ({ after }, { signal }) => log.lines(after, signal),
  });

  /** Uploads a file. The upload continues automatically after a lost connection. */
  async function send(file: string): Promise<void> {
    try {
      const sent = await client.files("recordings").upload(join(FILES, file), {
        resume: true,
        maxBytesPerSecond: () => mebibytesPerSecond * MEBIBYTE,
        onProgress({ phase, bytes, resumedFrom, total, bytesPerSecond }) {
          uploads.set(file, { file, bytes, resumedFrom, total: total ?? bytes, bytesPerSecond });
          if (phase === "waiting") log.add(`the upload of ${file} broke off`);
        },
      });
      log.add(`uploaded ${file}, from byte ${sent.resumedFrom} on`);
    } finally {
      uploads.delete(file);
    }
  }

  function measure(): void {
    samples += 1;
    const wave = Math.sin(samples / 12 + seed) + Math.sin(samples / 5 + 2 * seed) / 3;
    const measured = { celsius: 61 + 6 * wave, bar: 3.2 + wave / 2 };
    const sample = { run, number: samples, ...measured, runtime, uploads: [...uploads.values()] };
    client.publish(`telemetry:${name}`, sample).catch((error) => log.add(`sample ${sample.number}: ${error.message}`));
    if (samples % 20 === 0) log.add(`${sample.celsius.toFixed(1)} °C, ${sample.bar.toFixed(2)} bar`);
  }

  await client.connect();
  const measuring = setInterval(measure, Number(INTERVAL_MS));
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => {
      clearInterval(measuring);
      void client.disconnect("the device is switched off");
    });
  }
}

const [, , ...names] = process.argv;
await Promise.all(names.map(runDevice));
