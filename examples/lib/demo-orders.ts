/** What the demo on three runtimes tells the processes with its clients to do, and what these tell it. */

import * as v from "valibot";

/** A server is named by its runtime. */
const server = v.string();
const ms = v.number();

/** Call `log_in` to a client process: log in to a server. */
export const LogIn = v.object({ server, host: v.string(), port: v.number(), password: v.string(), name: v.string() });
export const LoggedIn = v.object({ greeting: v.string(), ms });

/** Call `ask`: send a message that has a reply, or call a method. */
export const Ask = v.object({
  server,
  what: v.picklist(["request", "call"]),
  name: v.string(),
  data: v.record(v.string(), v.unknown()),
});
/** `code` is 0 when it went well; else `answer` is the error's message. */
export const Answered = v.object({ code: v.number(), answer: v.unknown(), ms });

/** Call `ask_often`: call `calculate` that many times at once. */
export const AskOften = v.object({ server, calls: v.number() });
export const AnsweredOften = v.object({ right: v.number(), ms });

/** Call `started` to the demo: who the new process is. */
export const Started = v.object({ runtime: v.picklist(["node", "bun", "deno"]), version: v.string(), pid: v.number() });

/** Message `heard` to the demo: a message from a server, or the end of the connection as type `closed`. */
export const Heard = v.object({ server, type: v.string(), data: v.record(v.string(), v.unknown()) });
export type Heard = v.InferOutput<typeof Heard>;
