/** Schemas of the calls and messages between the demo on three runtimes and its client processes. */

import * as v from "valibot";

/** A server's runtime, which identifies it. */
const server = v.string();
const ms = v.number();

/** Call `log_in` to a client process: logs in to a server. */
export const LogIn = v.object({ server, host: v.string(), port: v.number(), password: v.string(), name: v.string() });
export const LoggedIn = v.object({ greeting: v.string(), ms });

/** Call `ask`: sends a request or calls a method. */
export const Ask = v.object({
  server,
  what: v.picklist(["request", "call"]),
  name: v.string(),
  data: v.record(v.string(), v.unknown()),
});
/** `code` is 0 on success; otherwise `answer` is the error message. */
export const Answered = v.object({ code: v.number(), answer: v.unknown(), ms });

/** Call `ask_often`: calls `calculate` `calls` times in parallel. */
export const AskOften = v.object({ server, calls: v.number() });
export const AnsweredOften = v.object({ right: v.number(), ms });

/** Call `started` to the demo: identifies the new process. */
export const Started = v.object({ runtime: v.picklist(["node", "bun", "deno"]), version: v.string(), pid: v.number() });

/** Message `received` to the demo: a message from a server, or the end of the connection as type `closed`. */
export const Received = v.object({ server, type: v.string(), data: v.record(v.string(), v.unknown()) });
export type Received = v.InferOutput<typeof Received>;
