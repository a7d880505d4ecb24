import { describe, expect, test } from "vitest";
import { amount, count, counts, flag, list, readCommandLine, text, usageOf } from "./command-line.ts";

const command = {
  name: "pnpm tool",
  about: "Does something.",
  options: {
    messages: count("messages to send", 20_000),
    seconds: amount("for each", 1.5),
    turns: counts("messages a turn", [1, 10]),
    run: list("runs", ["cuts", "kills"] as const),
    file: text("file to read", "PATH"),
    write: flag("writes"),
  },
};
const named = { ...command, names: { help: "targets", choices: ["decoder", "login"] } };

describe("readCommandLine", () => {
  test("an option that isn't given has its usual value", () => {
    expect(readCommandLine(command, [])).toEqual({
      values: { messages: 20_000, seconds: 1.5, turns: [1, 10], run: ["cuts", "kills"], file: null, write: false },
      names: [],
      help: false,
    });
  });

  test("reads each kind of option", () => {
    const args = [
      "--messages",
      "7",
      "--seconds",
      "0.5",
      "--turns",
      "2,3",
      "--run",
      "kills",
      "--file",
      "a.log",
      "--write",
      "-h",
    ];
    expect(readCommandLine(command, args)).toEqual({
      values: { messages: 7, seconds: 0.5, turns: [2, 3], run: ["kills"], file: "a.log", write: true },
      names: [],
      help: true,
    });
  });

  test("names may stand without an option", () => {
    expect(readCommandLine(named, []).names).toEqual([]);
    expect(readCommandLine(named, ["login"]).names).toEqual(["login"]);
  });

  test.each([
    [["--mesages", "7"], /'--mesages'/],
    [["--messages"], /--messages <value>/],
    [["--messages", "0"], /^--messages: Must be a whole number of at least 1, got '0'$/],
    [["--messages", "many"], /^--messages: Must be a whole number/],
    [["--seconds", "0"], /^--seconds: Must be a number above 0, got '0'$/],
    [["--run", "cuts,kill"], /^--run: There is no 'kill'; choose from cuts, kills$/],
    [["login"], /'login'/],
  ])("refuses %j", (args, message) => {
    expect(() => readCommandLine(command, args)).toThrow(message);
  });

  test("refuses an unknown name", () => {
    expect(() => readCommandLine(named, ["logins"])).toThrow("There is no 'logins'; choose from decoder, login");
  });
});

test("the usage lists each option with its usual value", () => {
  expect(usageOf(named)).toBe(`Usage: pnpm tool [NAMES] [options]

Does something.

  NAMES         targets: decoder, login
  --messages N  messages to send (20000)
  --seconds X   for each (1.5)
  --turns N,N…  messages a turn (1,10)
  --run NAMES   runs, separated by commas: cuts, kills (all)
  --file PATH   file to read
  --write       writes
  --help        prints this`);
});
