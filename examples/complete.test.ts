import { describe, expect, test } from "vitest";
import { RUNTIMES } from "./lib/runtimes.ts";
import { on, PAIRS, startProgram, startServer } from "./lib/test-support.ts";

/** The output's lines, with objects on one line as Node.js prints them; Bun uses several. */
function lines(output: string): string[] {
  const flat = output.replaceAll(
    /\{\n([^}]*),\n\}/g,
    (_, entries: string) => `{ ${entries.trim().replaceAll(/\n\s+/g, " ")} }`,
  );
  return flat.split("\n");
}

describe.each(PAIRS)(
  "the complete example, a server on $server and a client on $client",
  { timeout: 30_000 },
  (pair) => {
    test("the client uses every feature of the server and exits with code 0", async () => {
      const { server, env } = await startServer("complete/server.ts", { runtime: pair.server });
      const client = startProgram("complete/client.ts", { env, runtime: pair.client });
      expect(await client.ended).toEqual({ code: 0, signal: null });
      const [, grace = ""] = client.output.match(/^Ada learns that (\S+) joined$/m) ?? [];
      expect(server.output).toContain(`Client ${grace} connected`);
      expect(lines(client.output)).toEqual([
        "Ada is connected to ExampleServer 1.0.0",
        `Ada learns that ${grace} joined`,
        expect.stringMatching(/^Ada sends ping, the reply is \{ pong: true, time: \d+(\.\d+)? \}$/),
        "Grace sends chat, the reply is { sent: true }",
        `Ada receives from ${grace}: Hello, Ada!`,
        "Ada calls calculate: 6 * 7 = 42",
        expect.stringMatching(/^Grace calls get_stats: 2 clients, up for \d+\.\d s$/),
        expect.stringMatching(
          /^calculate two \+ nothing: error 2000, Validation error in calculate: a: .* \(and 1 more\)$/,
        ),
        '  a: Invalid type: Expected number but received "two"',
        '  b: Invalid key: Expected "b" but received undefined',
        "calculate an unknown operation: error 2000, Unknown operation: modulo",
        "calculate 1 / 0: error 400, Division by zero",
        "Ada and Grace are disconnected",
      ]);
      await server.line(new RegExp(`^Client ${grace} disconnected: Closed by the client$`));
    });
  },
);

describe.each(RUNTIMES)("the complete example on %s", { timeout: 30_000 }, (runtime) => {
  const { startProgram, startServer } = on(runtime);

  test.each(["SIGINT", "SIGTERM"] as const)("%s stops the server gracefully", async (signal) => {
    const { server } = await startServer("complete/server.ts");
    expect(await server.stop(signal)).toEqual({ code: 0, signal: null });
    expect(server.output.split("\n").at(-1)).toBe("Shutting down. Goodbye!");
  });

  test("PASSWORD is the password on both sides", async () => {
    const { server, env } = await startServer("complete/server.ts", { env: { PASSWORD: "another" } });
    const stranger = startProgram("complete/client.ts", { env });
    expect(await stranger.ended).toEqual({ code: 1, signal: null });
    expect(stranger.output).toContain("AUTH_FAILED");
    const friend = startProgram("complete/client.ts", { env: { ...env, PASSWORD: "another" } });
    expect(await friend.ended).toEqual({ code: 0, signal: null });
    expect(server.output).toContain("connected");
  });
});
