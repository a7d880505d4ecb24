import { describe, expect, test } from "vitest";
import { startProgram, startServer } from "./lib/test-support.ts";

describe("the complete example", { timeout: 30_000 }, () => {
  test("the client drives every feature of the server and ends with code 0", async () => {
    const { server, env } = await startServer("complete/server.ts");
    const client = startProgram("complete/client.ts", { env });
    expect(await client.ended).toEqual({ code: 0, signal: null });
    const [, grace = ""] = client.output.match(/^Ada hears that (\S+) joined$/m) ?? [];
    expect(server.output).toContain(`Client ${grace} connected`);
    expect(client.output.split("\n")).toEqual([
      "Ada is connected to ExampleServer 1.0.0",
      `Ada hears that ${grace} joined`,
      expect.stringMatching(/^Ada sends ping, the reply is \{ pong: true, time: \d+(\.\d+)? \}$/),
      "Grace sends chat, the reply is { sent: true }",
      `Ada hears from ${grace}: Hello, Ada!`,
      "Ada calls calculate: 6 * 7 = 42",
      expect.stringMatching(/^Grace calls get_stats: 2 clients, up for \d+\.\d s$/),
      "calculate two + nothing: error 2000, Validation error in calculate",
      '  a: Invalid type: Expected number but received "two"',
      '  b: Invalid key: Expected "b" but received undefined',
      "calculate an unknown operation: error 2000, Unknown operation: modulo",
      "calculate 1 / 0: error 400, Division by zero",
      "Ada and Grace are disconnected",
    ]);
    await server.line(new RegExp(`^Client ${grace} disconnected: Closed by the client$`));
  });

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
