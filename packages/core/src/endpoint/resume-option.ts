import * as v from "valibot";
import type { ResumeSettings } from "../connection/connection-settings.ts";
import { DEFAULT_RESUME_BYTES, DEFAULT_RESUME_WINDOW_MS, MIN_RESUME_BYTES } from "../limits.ts";
import { group, milliseconds, optionPaths, wholeNumber } from "./option-rules.ts";

/** How a server resumes sessions. */
export interface ServerResumeOptions {
  /** How long a session waits for its client when its stream is lost. Default 120,000 ms. */
  readonly windowMs?: number | undefined;
  /**
   * Bytes of a session that were sent and aren't acknowledged, kept to be sent again; beyond that, senders wait. At least
   * 65,536. Default 1 MiB.
   */
  readonly maxBytes?: number | undefined;
}

/** How a client resumes its session. */
export type ClientResumeOptions = Pick<ServerResumeOptions, "maxBytes">;

const maxBytes = v.optional(wholeNumber(MIN_RESUME_BYTES), DEFAULT_RESUME_BYTES);

const serverEntries = { windowMs: v.optional(milliseconds(), DEFAULT_RESUME_WINDOW_MS), maxBytes };
const clientEntries = { maxBytes };

/** Paths of the options. */
export const serverResumePaths: readonly string[] = optionPaths("resume", serverEntries);
export const clientResumePaths: readonly string[] = optionPaths("resume", clientEntries);

/** Settings, or `true` for the defaults. */
type Flagged = v.GenericSchema<unknown, boolean | Partial<ResumeSettings>>;

export const serverResume: Flagged = flagged(group(serverEntries));
export const clientResume: Flagged = flagged(group(clientEntries));

/** Lazy instead of a union, to report problems inside the object at their path. */
function flagged(settings: v.GenericSchema<unknown, Partial<ResumeSettings>>): Flagged {
  return v.lazy((input): Flagged => (typeof input === "boolean" ? (v.boolean() as Flagged) : settings));
}

/** The setting of the option; null if sessions aren't resumed. */
export function resumeSettings(
  option: boolean | Partial<ResumeSettings> | undefined,
  windowMs: number,
): ResumeSettings | null {
  if (option === undefined || option === false) return null;
  const given = option === true ? {} : option;
  return Object.freeze({ windowMs: given.windowMs ?? windowMs, maxBytes: given.maxBytes ?? DEFAULT_RESUME_BYTES });
}
