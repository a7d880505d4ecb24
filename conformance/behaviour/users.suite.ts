import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Contract, ErrorCode, type Identity, scramVerifier } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { ScramClient } from "../../packages/core/src/test-support/scram-by-rfc.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { frame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { OpenClient, Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { PASSWORD, PATIENT, stagedOn } from "./stage.ts";

const ADA = { password: "lovelace", roles: ["admin"], claims: { team: 7 } };

/** Users and their permissions. */
export function describeUsers(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`users on ${subject.name}`, PATIENT, () => {
    test(
      "log in with a password or verifier of their own, beside clients with the shared password",
      staged(async (stage) => {
        const verifier = await scramVerifier("babbage", subject.runtime, { iterations: 4096 });
        const server = await stage.listen({ users: { ada: ADA, charles: { verifier } } });
        await stage.join(server, { username: "ada", password: "lovelace" });
        await stage.join(server, { username: "charles", password: "babbage" });
        await stage.join(server);
        expect(server.connections.map(({ user }) => user)).toEqual([
          { name: "ada", roles: ["admin"], method: "scram", claims: { team: 7 } },
          { name: "charles", roles: [], method: "scram", claims: {} },
          { name: "", roles: [], method: "scram", claims: {} },
        ]);
      }),
    );

    test(
      "that don't exist get the same frames as a wrong password, and a salt that stays",
      staged(async (stage) => {
        const server = await stage.listen({ users: { ada: ADA } });
        const seen: { salt: string; frames: unknown[] }[] = [];
        for (const username of ["ada", "eve", "eve"]) {
          const peer = await stage.raw(server);
          const scram = new ScramClient("wrong", undefined, username);
          peer.write(frame(Type.AUTH_REQUEST, { client_info: {}, scram: scram.clientFirst, extensions: {} }));
          const challenge = await peer.next();
          const data = String((challenge.payload as { data: string }).data);
          peer.write(frame(Type.AUTH_RESPONSE, { data: scram.answer(data) }));
          const answer = await peer.next();
          const frames = [challenge.type, data.replace(/^r=[^,]*,s=[^,]*/, "r,s"), answer.type, answer.payload];
          seen.push({ salt: /,s=([^,]*)/.exec(data)?.[1] ?? "", frames });
        }
        const [ada, eve, again] = seen;
        expect(eve?.frames).toEqual(ada?.frames);
        expect(ada?.frames.at(-1)).toEqual({ reason: "Invalid password", code: ErrorCode.AUTH_FAILED });
        expect([again?.salt, eve?.salt.length]).toEqual([eve?.salt, ada?.salt.length]);
      }),
    );

    test(
      "without a role are refused methods, streams, messages, topics and folders, and the server is notified",
      staged(async (stage) => {
        const server = stage.server({ users: { ada: ADA } });
        const denied: string[] = [];
        server.onDenied(({ user }, { kind, name, roles }) => denied.push(`${user.name} ${kind} ${name} ${roles}`));
        const roles = ["admin"];
        server.rpc({ name: "purge", roles }, () => "purged");
        server.stream({ name: "log", roles }, async function* () {
          yield "line";
        });
        server.on("halt", () => "halted", { roles });
        server.topic("alarms", { roles, publish: true });
        server.files("box", { dir: ".", download: true, roles });
        await server.start();
        const ask = (client: OpenClient) => [
          client.call("purge"),
          client.stream("log").next(),
          client.request("halt"),
          client.subscribe("alarms").ready,
          client.publish("alarms", 1),
          client.files("box").stat("no such file"),
        ];
        const outcomes = async (asked: Promise<unknown>[]) =>
          (await Promise.allSettled(asked)).map((one) => (one.status === "fulfilled" ? "done" : one.reason.codeName));
        const ada = await stage.join(server, { username: "ada", password: "lovelace" });
        expect(await outcomes(ask(ada))).toEqual([...new Array(5).fill("done"), "NOT_FOUND"]);
        expect(await outcomes(ask(await stage.join(server)))).toEqual(new Array(6).fill("PERMISSION_DENIED"));
        const kinds = ["method purge", "stream log", "message halt", "subscribe alarms", "publish alarms", "files box"];
        expect(denied.sort()).toEqual(kinds.map((kind) => ` ${kind} admin`).sort());
      }),
    );

    test(
      "need a role of the contract's for a folder, and one of the program's",
      staged(async (stage) => {
        const contract: Contract = { server: { files: { box: { roles: ["staff"] } } } };
        const users = {
          ada: { password: "lovelace", roles: ["staff", "admin"] },
          bob: { password: "builder", roles: ["staff"] },
          eve: { password: "dropper", roles: ["admin"] },
        };
        const server = stage.server({ users, contract });
        server.files("box", { dir: ".", download: true, roles: ["admin"] });
        await server.start();
        const codes: unknown[] = [];
        for (const [username, { password }] of Object.entries(users)) {
          const client = await stage.join(server, { username, password });
          codes.push(
            await client
              .files("box")
              .stat("no such file")
              .catch((error) => error.codeName),
          );
        }
        expect(codes).toEqual(["NOT_FOUND", "PERMISSION_DENIED", "PERMISSION_DENIED"]);
      }),
    );

    test(
      "of a file log in, and those whose password changed can be revoked when it was read again",
      staged(async (stage) => {
        const folder = await mkdtemp(join(tmpdir(), "netconduit-users-"));
        stage.defer(() => rm(folder, { recursive: true }));
        const path = join(folder, "users.json");
        const write = async (password: string) => {
          const verifier = await scramVerifier(password, subject.runtime, { iterations: 4096 });
          const users = { ada: { verifier, roles: ["admin"] } };
          await writeFile(path, JSON.stringify({ secret: "A".repeat(43).concat("="), users }));
        };
        await write("lovelace");
        const users = await subject.usersFile(path);
        const server = await stage.listen({ authenticate: users });
        const login = (password: string) =>
          stage.join(server, { username: "ada", password, reconnect: { enabled: false } });
        const client = await login("lovelace");
        expect(server.connections.map(({ user }) => user.roles)).toEqual([["admin"]]);
        const reasons = new EventLog<string>();
        client.onDisconnect((_client, { codeName }) => reasons.add(codeName));
        await write("byron");
        const { changed } = await users.reload();
        for (const name of changed) await server.revoke(name);
        expect(await reasons.next()).toBe("IDENTITY_REVOKED");
        await expect(login("lovelace")).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
        await login("byron");
      }),
    );

    test(
      "log in by token, are asked to renew it before it expires, and can be revoked",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const soon = { name: "ada", expiresAt: clock.runtime.wallClock() + 60_000 };
        const identities = new Map<string, Identity>([
          ["first", soon],
          ["second", { name: "ada", roles: ["admin"] }],
        ]);
        const token = async (text: string) => identities.get(text) ?? null;
        const server = await stage.listen({ authenticate: { token } }, clock.runtime);
        const tokens = ["first", "second"];
        const client = stage.client(server, {
          password: undefined,
          credentials: () => ({ token: tokens.shift() ?? "none is left" }),
        });
        const ends = new EventLog<number>();
        client.onDisconnect((_client, { code }) => ends.add(code));
        await client.connect();
        const [connection] = server.connections;
        clock.advance(50_000);
        await until(() => connection?.user.roles.includes("admin") === true);
        expect([connection?.user, client.isConnected]).toMatchObject([{ name: "ada", method: "token" }, true]);
        expect((await server.revoke("ada")).connections).toBe(1);
        expect(await ends.next()).toBe(ErrorCode.IDENTITY_REVOKED);
      }),
    );

    test(
      "change their passwords while the server runs",
      staged(async (stage) => {
        const server = await stage.listen({ users: { ada: ADA } });
        await server.setUser("ada", { password: "byron" });
        await stage.join(server, { username: "ada", password: "byron" });
        const late = stage.join(server, { username: "ada", password: "lovelace" });
        await expect(late).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
      }),
    );

    test(
      "may be looked up by an asynchronous function",
      staged(async (stage) => {
        const verifier = await scramVerifier("babbage", subject.runtime, { iterations: 4096 });
        const scram = async (name: string) => (name === "charles" ? { verifier, roles: ["guest"] } : null);
        const server = await stage.listen({ password: undefined, authenticate: { scram } });
        await stage.join(server, { username: "charles", password: "babbage" });
        expect(server.connections[0]?.user).toMatchObject({ name: "charles", roles: ["guest"] });
        await expect(stage.join(server, { password: PASSWORD })).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
      }),
    );
  });
}
