/** The contract between the server, the devices and the dashboards. Both ends are typed and validated by it. */

import * as v from "valibot";
import type { Contract } from "./netconduit.ts";

/** An upload in progress. */
export const Upload = v.object({
  file: v.string(),
  bytes: v.number(),
  /** Bytes that the server already had when this attempt started. */
  resumedFrom: v.number(),
  total: v.number(),
  bytesPerSecond: v.number(),
});
export type Upload = v.InferOutput<typeof Upload>;

/** The place of a sample or log line. Readers detect missing ones by it, and continue after it. */
const Place = v.object({
  /** When the device's program started. */
  run: v.number(),
  /** Counts up from 1 in each run. */
  number: v.number(),
});
export type Place = v.InferOutput<typeof Place>;

/** A measurement, sent several times per second. */
export const Sample = v.object({
  ...Place.entries,
  celsius: v.number(),
  bar: v.number(),
  runtime: v.string(),
  uploads: v.array(Upload),
});
export type Sample = v.InferOutput<typeof Sample>;

/** A line in a device's log. */
export const LogLine = v.object({ ...Place.entries, at: v.date(), text: v.string() });
export type LogLine = v.InferOutput<typeof LogLine>;

const device = v.string();
const Recording = v.object({ mebibytes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1024)) });
const Limit = v.object({ mebibytesPerSecond: v.pipe(v.number(), v.minValue(0.01)) });
/** The last line that the reader has; null if it has none. */
const After = v.object({ after: v.nullable(Place) });

const definition = {
  server: {
    methods: {
      /** Makes a device record a file and upload it. Returns the file name. */
      record: { params: v.object({ device, ...Recording.entries }), result: v.string() },
      /** Limits the upload rate of all devices. Returns the number of devices. */
      limit: { params: Limit, result: v.number() },
      /** Faults on demand: `cut` drops the caller's connection, `kill` kills the server with SIGKILL. */
      cut: {},
      kill: {},
    },
    streams: {
      /** A device's log after the given line; continues with new lines as they are added. */
      log: { params: v.object({ device, ...After.entries }), output: LogLine },
    },
    /** Recordings that devices upload. */
    files: { recordings: { roles: ["device"] } },
  },
  clients: {
    // Methods that the server calls on devices. It calls none on dashboards.
    device: {
      methods: { record: { params: Recording, result: v.string() }, limit: { params: Limit } },
      streams: { log: { params: After, output: LogLine } },
    },
  },
  topics: {
    /** News for dashboards. The topic's presence shows which devices are connected. */
    fleet: v.object({ at: v.date(), text: v.string() }),
    "telemetry:*": Sample,
  },
} satisfies Contract;

type Definition = typeof definition;
export interface Fleet extends Definition {}
export const fleet: Fleet = definition;
