import { describe, expect, test } from "vitest";
import { clientCall, contractOf, handWrittenCall, handWrittenRpc, serverRpc } from "./lib/completion-programs.ts";
import { CURSOR, completionsAt } from "./lib/completions.ts";

const CONTRACT = `
import * as v from "valibot";
const definition = {
  server: {
    methods: { history: { params: v.object({ room: v.string() }), result: v.array(v.string()) }, "users.list": {} },
    messages: { say: v.object({ text: v.string() }), leave: v.optional(v.string()) },
  },
  client: {
    methods: { mood: { result: v.picklist(["fine", "tired"]) } },
    messages: { said: v.string() },
  },
};
type Definition = typeof definition;
export interface Chat extends Definition {}
`;

describe("an editor completes", () => {
  const places: readonly [place: string, names: readonly string[]][] = [
    [`client.call("${CURSOR}")`, ["history", "users.list"]],
    [`client.callNoWait("${CURSOR}")`, ["history", "users.list"]],
    [`client.send("${CURSOR}")`, ["leave", "say"]],
    [`client.request("${CURSOR}")`, ["leave", "say"]],
    [`client.on("${CURSOR}")`, ["said"]],
    [`client.rpc("${CURSOR}")`, ["mood"]],
    [`server.rpc("${CURSOR}")`, ["history", "users.list"]],
    [`server.rpc({ name: "${CURSOR}" })`, ["history", "users.list"]],
    [`server.on("${CURSOR}")`, ["leave", "say"]],
    [`server.on(["${CURSOR}"])`, ["leave", "say"]],
    [`server.broadcast("${CURSOR}")`, ["said"]],
    [`client.api.${CURSOR}`, ["history", "users"]],
    [`client.api.users.${CURSOR}`, ["list"]],
    [`connection.api.${CURSOR}`, ["mood"]],
    [`connection.call("${CURSOR}")`, ["mood"]],
    [`connection.send("${CURSOR}")`, ["said"]],
    [`connection.request("${CURSOR}")`, ["said"]],
  ];
  const main = `
import type { Client, Connection, Server } from "@netconduit/node";
import type { Chat } from "./contract.ts";
declare const client: Client<Chat>;
declare const server: Server<Chat>;
declare const connection: Connection<Chat>;
${places.map(([place]) => `${place};`).join("\n")}
`;
  const answers = completionsAt({ main, contract: CONTRACT });

  test.each(places.map(([place, names], index) => ({ place, names, index })))("$place", ({ names, index }) => {
    expect(answers[index]?.names.toSorted()).toEqual(names);
  });
});

test.each([
  ['client.call("', clientCall, handWrittenCall],
  ['server.rpc("', serverRpc, handWrittenRpc],
])("completion at %s asks for no schema, as that of a hand-written function", (_, ours, handWritten) => {
  const methods = 40;
  const contract = contractOf(methods);
  const [own, other] = [ours, handWritten].map((main) => completionsAt({ main, contract })[0]);
  expect(own?.names).toHaveLength(methods);
  // The library's own types need about 300 instantiations; the schemas of the methods would need 60 each.
  expect((own?.instantiations ?? 0) - (other?.instantiations ?? 0)).toBeLessThan(1000);
});
