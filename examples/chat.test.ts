import { describe, expect, test } from "vitest";
import type { Program } from "./lib/program.ts";
import { RUNTIMES, type RuntimeName } from "./lib/runtimes.ts";
import { on } from "./lib/test-support.ts";

interface Chat {
  server: Program;
  /** Arguments of the client. */
  join(...args: string[]): Promise<Program>;
}

async function chatOn(runtime: RuntimeName): Promise<Chat> {
  const { startProgram, startServer } = on(runtime);
  const { server, env } = await startServer("chat/server.ts");
  const join = async (...args: string[]): Promise<Program> => {
    const client = startProgram("chat/client.ts", { args, env });
    await client.line(/^- you are /);
    return client;
  };
  return { server, join };
}

describe.each(RUNTIMES)("the chat example on %s", { timeout: 30_000 }, (runtime) => {
  test("a message in a room reaches its members only", async () => {
    const { join } = await chatOn(runtime);
    const ada = await join("Ada", "math");
    const grace = await join("Grace", "math");
    const linus = await join("Linus", "kernel");
    grace.type("A nanosecond is 30 cm");
    await ada.line(/^<Grace> A nanosecond is 30 cm$/);
    linus.type("/msg Ada done");
    await ada.line(/^\*Linus\* done$/);
    expect(linus.output).not.toContain("nanosecond");
  });

  test("the room is told when a member leaves, whether it quits or is killed", async () => {
    const { join } = await chatOn(runtime);
    const ada = await join("Ada");
    const grace = await join("Grace");
    const linus = await join("Linus");
    await ada.line(/^- Linus is here$/);
    grace.type("/quit");
    await ada.line(/^- Grace left$/);
    await linus.kill();
    await ada.line(/^- Linus left$/);
    expect(await grace.ended).toEqual({ code: 0, signal: null });
  });

  test("a client can change its room and nickname, and a taken nickname is rejected", async () => {
    const { join } = await chatOn(runtime);
    const ada = await join("Ada");
    const grace = await join("Grace");
    grace.type("/nick Ada");
    await grace.line(/^! The nickname Ada is taken$/);
    grace.type("/nick Hopper");
    await ada.line(/^- Grace is now Hopper$/);
    ada.type("/who");
    await ada.line(/^- Ada, Hopper$/);
    grace.type("/join navy");
    await ada.line(/^- Hopper left$/);
    ada.type("Anyone?");
    await ada.line(/^- nobody else is here$/);
  });

  test("a graceful stop of the server reaches the clients with its reason", async () => {
    const { server, join } = await chatOn(runtime);
    const ada = await join("Ada");
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    await ada.line(/^- disconnected: The server is stopping$/);
    ada.endInput();
    expect(await ada.ended).toEqual({ code: 0, signal: null });
  });
});
