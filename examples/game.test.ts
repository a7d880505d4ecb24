import { describe, expect, test } from "vitest";
import { RUNTIMES } from "./lib/runtimes.ts";
import { on } from "./lib/test-support.ts";

const QUICK = { TICK_MS: "5" };

describe.each(RUNTIMES)("the game example on %s", { timeout: 30_000 }, (runtime) => {
  const { startProgram, startServer } = on(runtime);

  test("two players race until one has all coins, and both get the same result and are disconnected", async () => {
    const { server, env } = await startServer("game/server.ts", { env: QUICK });
    const ada = startProgram("game/bot.ts", { args: ["Ada"], env });
    const grace = startProgram("game/bot.ts", { args: ["Grace"], env });
    const [, winner = "", ticks = ""] = await server.line(/^(Ada|Grace) wins after (\d+) ticks$/);
    const [champion, other] = winner === "Ada" ? [ada, grace] : [grace, ada];
    await champion.line(new RegExp(`^I won in ${ticks} ticks!$`));
    await other.line(new RegExp(`^${winner} won in ${ticks} ticks$`));
    for (const bot of [ada, grace]) {
      await bot.line(/^Disconnected: Thanks for playing$/);
      expect(await bot.ended).toEqual({ code: 0, signal: null });
    }
    expect(await server.stop()).toEqual({ code: 0, signal: null });
  });

  test("players that want to play again get another match", async () => {
    const { server, env } = await startServer("game/server.ts", { env: { ...QUICK, GOAL: "1" } });
    const ada = startProgram("game/bot.ts", { args: ["Ada", "3"], env });
    const grace = startProgram("game/bot.ts", { args: ["Grace", "3"], env });
    await server.line(/^The match begins: /, 3);
    await Promise.all([ada.line(/won in/, 3), grace.line(/won in/, 3)]);
    expect(await ada.ended).toEqual({ code: 0, signal: null });
    expect(await grace.ended).toEqual({ code: 0, signal: null });
  });

  test("a client over the rate limit is told when to retry, and the retry succeeds", async () => {
    const { server, env } = await startServer("game/server.ts");
    const spectator = startProgram("game/impatient.ts", { env });
    const [, refused] = await spectator.line(/^(\d+) of 500 looks were rate limited; retry after 0\.\d+ s$/);
    expect(Number(refused)).toBeGreaterThan(0);
    await spectator.line(/^Retried: waiting, tick 0$/);
    await server.line(/^Impatient spectator exceeds the rate limit$/);
    expect(await spectator.ended).toEqual({ code: 0, signal: null });
  });
});
