import * as v from "valibot";
import type { ResumeSettings } from "../connection/connection-settings.ts";
import { DEFAULT_ONCE_MS, DEFAULT_RESUME_BYTES, DEFAULT_RESUME_WINDOW_MS, MIN_RESUME_BYTES } from "../limits.ts";
import { isStore, type Store } from "../store/store.ts";
import { group, milliseconds, optionPaths, SWITCH_RULE, wholeNumber } from "./option-rules.ts";

/** Options for resuming sessions on a server. */
export interface ServerResumeOptions {
  /** How long a session waits for its client after its stream was lost. Default 120,000 ms. */
  readonly windowMs?: number | undefined;
  /**
   * Limit of a session's unacknowledged bytes, which are kept for resending; beyond it, senders wait. At least
   * 65,536. Default 1 MiB.
   */
  readonly maxBytes?: number | undefined;
  /**
   * Keeps state that outlives the process: keys of `ack` and `once` with their answers, dead letters, and how much of
   * each session was handled. Default: none; a restarted server has no such state.
   */
  readonly store?: Store | undefined;
  /** How long a store keeps the keys of `ack` and `once`. Default 600,000 ms. Without a store it is always 120,000 ms. */
  readonly onceMs?: number | undefined;
}

/** Settings of a server, with defaults filled in. */
export interface ServerResumeSettings extends ResumeSettings {
  /** Null for none. */
  readonly store: Store | null;
  readonly onceMs: number;
}

/** Options for resuming a session on a client. */
export type ClientResumeOptions = Pick<ServerResumeOptions, "maxBytes">;

const maxBytes = v.optional(wholeNumber(MIN_RESUME_BYTES), DEFAULT_RESUME_BYTES);

const serverEntries = {
  windowMs: v.optional(milliseconds(), DEFAULT_RESUME_WINDOW_MS),
  maxBytes,
  store: v.optional(
    v.custom<Store>(
      isStore,
      "must be a store, as `await fileStore(path)` gives: isShared, get, create, put, delete, keys",
    ),
  ),
  onceMs: v.optional(milliseconds(), DEFAULT_ONCE_MS),
};
const clientEntries = { maxBytes };

/** Paths of the options. */
export const serverResumePaths: readonly string[] = optionPaths("resume", serverEntries);
export const clientResumePaths: readonly string[] = optionPaths("resume", clientEntries);

/** Settings, or `true` for the defaults. */
type Flagged<Settings> = v.GenericSchema<unknown, boolean | Settings>;

export const serverResume: Flagged<ServerResumeOptions> = flagged<ServerResumeOptions>(
  group(serverEntries, SWITCH_RULE),
);
export const clientResume: Flagged<ClientResumeOptions> = flagged<ClientResumeOptions>(
  group(clientEntries, SWITCH_RULE),
);

/** Lazy instead of a union, to report problems inside the object at their path. */
function flagged<Settings>(settings: v.GenericSchema<unknown, Settings>): Flagged<Settings> {
  return v.lazy(
    (input): Flagged<Settings> => (typeof input === "boolean" ? (v.boolean() as Flagged<Settings>) : settings),
  );
}

/** The setting of a client's option; null if sessions aren't resumed. */
export function clientResumeSettings(option: boolean | ClientResumeOptions | undefined): ResumeSettings | null {
  if (option === undefined || option === false) return null;
  const { maxBytes = DEFAULT_RESUME_BYTES } = option === true ? {} : option;
  return Object.freeze({ windowMs: 0, maxBytes });
}

/** The setting of a server's option; null if sessions aren't resumed. */
export function serverResumeSettings(option: boolean | ServerResumeOptions | undefined): ServerResumeSettings | null {
  if (option === undefined || option === false) return null;
  const {
    windowMs = DEFAULT_RESUME_WINDOW_MS,
    maxBytes: bytes = DEFAULT_RESUME_BYTES,
    store = null,
    onceMs = DEFAULT_ONCE_MS,
  } = option === true ? {} : option;
  return Object.freeze({ windowMs, maxBytes: bytes, store, onceMs });
}
