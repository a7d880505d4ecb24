import { onTestFinished } from "vitest";
import { Program, type ProgramOptions } from "./program.ts";
import { RUNTIMES, type RuntimeName } from "./runtimes.ts";

/** All nine pairs of a server's and a client's runtime. */
export const PAIRS: readonly { readonly server: RuntimeName; readonly client: RuntimeName }[] = RUNTIMES.flatMap(
  (server) => RUNTIMES.map((client) => ({ server, client })),
);

/** Starts an example for the running test, and kills it after the test. */
export function startProgram(script: string, options: ProgramOptions = {}): Program {
  const program = new Program(script, options);
  onTestFinished(async () => {
    await program.kill();
  });
  return program;
}

/** Starts a server on a free port of 127.0.0.1, and resolves once it is listening. `env` contains its address for clients. */
export async function startServer(
  script: string,
  options: ProgramOptions = {},
): Promise<{ server: Program; env: Readonly<Record<string, string>> }> {
  const server = startProgram(script, { ...options, env: { HOST: "127.0.0.1", PORT: "0", ...options.env } });
  const [, port = ""] = await server.line(/^Listening on 127\.0\.0\.1:(\d+)/);
  return { server, env: { HOST: "127.0.0.1", PORT: port } };
}

/** `startProgram` and `startServer` for programs that all run on `runtime`. */
export function on(runtime: RuntimeName): { startProgram: typeof startProgram; startServer: typeof startServer } {
  return {
    startProgram: (script, options) => startProgram(script, { runtime, ...options }),
    startServer: (script, options) => startServer(script, { runtime, ...options }),
  };
}
