import type { AnyExtension } from "../connection/extension.ts";
import { call } from "./call.ts";
import { cancel } from "./cancel.ts";
import { chunk } from "./chunk.ts";
import { close } from "./close.ts";
import { compression } from "./compression.ts";
import { credit } from "./credit.ts";
import { deadline } from "./deadline.ts";
import { drain } from "./drain.ts";
import { flow } from "./flow.ts";
import { heartbeat } from "./heartbeat.ts";
import { limits } from "./limits.ts";
import { meta } from "./meta.ts";
import { once } from "./once.ts";
import { ready } from "./ready.ts";
import { refusal } from "./refusal.ts";
import { renewal } from "./renewal.ts";
import { reply } from "./reply.ts";
import { resume } from "./resume/resume.ts";
import { stream } from "./streams/stream.ts";
import { topic } from "./topics/topic.ts";

/** The extensions that servers and clients support. CLOSE is the last frame sent, so `close` is last. */
export const builtInExtensions: readonly AnyExtension[] = [
  heartbeat,
  limits,
  reply,
  refusal,
  deadline,
  meta,
  call,
  once,
  cancel,
  credit,
  chunk,
  resume,
  stream,
  compression,
  flow,
  ready,
  renewal,
  topic,
  drain,
  close,
];
