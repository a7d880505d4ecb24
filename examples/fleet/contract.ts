/** The contract between the server, the devices and the dashboards. It types and validates both ends. */

import * as v from "valibot";
import type { Contract } from "./netconduit.ts";

/** A file on its way to the server. */
export const Upload = v.object({
  file: v.string(),
  bytes: v.number(),
  /** Bytes that the server had when this attempt began. */
  resumedFrom: v.number(),
  total: v.number(),
  bytesPerSecond: v.number(),
});
export type Upload = v.InferOutput<typeof Upload>;

/** A measurement, sent several times per second. */
export const Sample = v.object({
  /** Counts up from 1, so that a reader sees whether one is missing. */
  number: v.number(),
  celsius: v.number(),
  bar: v.number(),
  runtime: v.string(),
  upload: v.nullable(Upload),
});
export type Sample = v.InferOutput<typeof Sample>;

/** A line of a device's log. */
export const LogLine = v.object({ number: v.number(), at: v.date(), text: v.string() });
export type LogLine = v.InferOutput<typeof LogLine>;

const device = v.string();
const Recording = v.object({ mebibytes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1024)) });
const Limit = v.object({ mebibytesPerSecond: v.pipe(v.number(), v.minValue(0.01)) });
const From = v.object({ from: v.number() });

const definition = {
  server: {
    methods: {
      /** Tells a device to record something and to upload it. Returns the name of its file. */
      record: { params: v.object({ device, ...Recording.entries }), result: v.string() },
      /** Limits the uploads of all devices. Returns how many devices obey. */
      limit: { params: Limit, result: v.number() },
      /** Faults on demand: cuts the caller's connection, and kills the server without a word. */
      cut: {},
      kill: {},
    },
    streams: {
      /** The log of a device from a line on, and what is added to it. */
      log: { params: v.object({ device, ...From.entries }), output: LogLine },
    },
    /** Recordings of devices. */
    files: { recordings: { roles: ["device"] } },
  },
  clients: {
    // The server calls these on devices. It calls nothing on dashboards.
    device: {
      methods: { record: { params: Recording, result: v.string() }, limit: { params: Limit } },
      streams: { log: { params: From, output: LogLine } },
    },
  },
  topics: {
    /** News for dashboards. Its presence says which devices are connected. */
    fleet: v.object({ at: v.date(), text: v.string() }),
    "telemetry:*": Sample,
  },
} satisfies Contract;

type Definition = typeof definition;
export interface Fleet extends Definition {}
export const fleet: Fleet = definition;
