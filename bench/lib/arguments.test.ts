import { describe, expect, test } from "vitest";
import { readArguments, UsageError, usage } from "./arguments.ts";

const KNOWN = { scenarios: ["rpc", "broadcast"], peers: ["raw", "ws", "socket.io"] };

function read(...args: string[]): ReturnType<typeof readArguments> {
  return readArguments(args, KNOWN);
}

describe("readArguments", () => {
  test("defaults to the plan's choice", () => {
    expect(read()).toEqual({
      help: false,
      quick: false,
      only: null,
      peers: null,
      pairs: null,
      json: null,
      rounds: null,
    });
  });

  test("takes lists and drops duplicates", () => {
    expect(read("--only", "rpc,broadcast,rpc", "--peers=ws, socket.io", "--quick", "--json", "a.json")).toMatchObject({
      only: ["rpc", "broadcast"],
      peers: ["netconduit", "ws", "socket.io"],
      quick: true,
      json: "a.json",
    });
  });

  test("takes runtimes, and pairs with the server first", () => {
    expect(read("--runtime", "bun,node-deno,bun-bun").pairs).toEqual([
      { server: "bun", client: "bun" },
      { server: "node", client: "deno" },
    ]);
  });

  test("takes a number of rounds", () => {
    expect(read("--rounds", "3").rounds).toBe(3);
  });

  test.each([
    [["--only", "rcp"], "Unknown scenario rcp; available: rpc, broadcast"],
    [["--peers", "ws,uws"], "Unknown peer uws; available: raw, ws, socket.io"],
    [["--only", ","], "--only needs a name"],
    [["--runtime", "nodejs"], "--runtime takes node, bun, deno and pairs such as node-bun, got nodejs"],
    [["--runtime", "node-bun-deno"], "--runtime takes"],
    [["--runtime", ""], "--runtime takes"],
    [["--rounds", "0"], "--rounds must be a whole number from 1 to 100, got 0"],
    [["--rounds", "2.5"], "--rounds must be"],
    [["--fast"], "Unknown option '--fast'"],
    [["rpc"], "Unexpected argument 'rpc'"],
  ])("refuses %j", (args, message) => {
    expect(() => read(...args)).toThrow(UsageError);
    expect(() => read(...args)).toThrow(message);
  });
});

test("the usage names every scenario and peer", () => {
  const text = usage(KNOWN);
  expect([...KNOWN.scenarios, ...KNOWN.peers].filter((name) => !text.includes(name))).toEqual([]);
});
