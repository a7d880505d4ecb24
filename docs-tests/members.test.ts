import { describe, expect, test } from "vitest";
import { publicMembers } from "./lib/interfaces.ts";
import { codeIn, readText, tableRows } from "./lib/markdown.ts";

const GUIDE = readText("docs/guide.md");
const CORE = "packages/core/src";
const caller = publicMembers(`${CORE}/endpoint/remote-caller.ts`, "RemoteCaller");
const peer = union(caller, publicMembers(`${CORE}/endpoint/remote-peer.ts`, "RemotePeerBase"));
const server = publicMembers(`${CORE}/server/server.ts`, "Server");
const client = union(peer, publicMembers(`${CORE}/client/client.ts`, "Client"));
const pool = union(caller, publicMembers(`${CORE}/pool/client-pool.ts`, "ClientPool"));
const connection = union(peer, publicMembers(`${CORE}/server/connection.ts`, "Connection"));

function union(...lists: readonly string[][]): string[] {
  return [...new Set(lists.flat())];
}

function mentioned(member: string): boolean {
  return new RegExp(`\\b${member}\\b`).test(GUIDE);
}

function isHook(member: string): boolean {
  return /^on[A-Z]/.test(member);
}

function firstColumn(heading: string, column: string): string[] {
  return tableRows(GUIDE, heading, column).map((row) => codeIn(row[column] ?? ""));
}

describe("the guide", () => {
  test.each([
    ["Server", server],
    ["Client", client],
    ["Connection", connection],
    ["ClientPool", pool],
  ])("mentions every public member of %s", (_, members) => {
    expect(members.filter((member) => !mentioned(member))).toEqual([]);
  });

  test("has every hook of a server in its table", () => {
    expect(firstColumn("All hooks", "Hook of a server").sort()).toEqual(server.filter(isHook).sort());
  });

  test("has every hook of a client in its table", () => {
    expect(firstColumn("State and health", "Hook of a client").sort()).toEqual(client.filter(isHook).sort());
  });

  test("has every member of a pool in its table", () => {
    const cells = tableRows(GUIDE, "Client pools", "Member of `ClientPool`")
      .map((row) => row["Member of `ClientPool`"] ?? "")
      .join(" ");
    expect(pool.filter((member) => !new RegExp(`\`${member}\\b`).test(cells))).toEqual([]);
  });

  test("has every member of a connection in its table", () => {
    const rows = tableRows(GUIDE, "Members of a connection", "Member of `Connection`");
    const cells = rows.map((row) => row["Member of `Connection`"] ?? "").join(" ");
    expect(connection.filter((member) => !new RegExp(`\`${member}\\b`).test(cells))).toEqual([]);
  });
});
