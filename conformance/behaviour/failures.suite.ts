import { type ConduitError, ErrorCode, error, RpcError } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { frame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

interface Heard {
  readonly code: number | undefined;
  readonly text: string;
  readonly stage: string;
  readonly name: string | undefined;
  readonly failureId: string | undefined;
  readonly count: number | undefined;
}

/** Failures reported to the other side: ids, rejected sends, forwarded errors, suggestions. */
export function describeFailures(subject: Subject): void {
  const staged = stagedOn(subject);

  async function pair(stage: Stage) {
    const server = await stage.listen();
    const client = await stage.join(server);
    const connection = connectionOf(server, client);
    const atServer = new EventLog<Heard>();
    const atClient = new EventLog<Heard>();
    for (const [end, log] of [
      [server, atServer],
      [client, atClient],
    ] as const) {
      end.onError((failure, { stage, name, failureId, count }) => {
        const { code } = failure as Partial<ConduitError>;
        log.add({ code, text: failure.message, stage, name, failureId, count });
      });
    }
    return { server, client, connection, atServer, atClient };
  }

  describe(`failures that the other side hears of on ${subject.name}`, PATIENT, () => {
    test(
      "the caller of a handler that fails gets the id that onError gets, in either direction",
      staged(async (stage) => {
        const { server, client, connection, atServer, atClient } = await pair(stage);
        const fail = (): never => {
          throw new Error("the disk is full");
        };
        server.rpc("fail", fail);
        client.on("fail", fail);
        const ofCall = await failureOf(client.call("fail"));
        const ofRequest = await failureOf(connection.request("fail"));
        for (const [failure, heard] of [
          [ofCall, await atServer.next()],
          [ofRequest, await atClient.next()],
        ] as const) {
          expect(failure).toMatchObject({ code: ErrorCode.INTERNAL, message: "Internal server error" });
          expect((failure as RpcError).failureId).toMatch(/^[0-9a-f]{16}$/);
          expect(heard).toMatchObject({ text: "the disk is full", failureId: (failure as RpcError).failureId });
        }
        expect((ofCall as RpcError).failureId).not.toBe((ofRequest as RpcError).failureId);
      }),
    );

    test(
      "a result that can't be sent has an id, too; an error that a handler throws for its caller has none",
      staged(async (stage) => {
        const { server, client, atServer } = await pair(stage);
        server.rpc("bad", () => () => 7);
        server.rpc("refuse", () => error.notFound("User"));
        const failure = (await failureOf(client.call("bad"))) as RpcError;
        expect(failure.code).toBe(ErrorCode.INTERNAL);
        expect((await atServer.next()).failureId).toBe(failure.failureId);
        expect(((await failureOf(client.call("refuse"))) as RpcError).failureId).toBeUndefined();
      }),
    );

    test(
      "an unknown method or type names the nearest one, if one is near",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        server.rpc("users.list", () => []);
        server.on("chat", () => null);
        expect((await failureOf(client.call("user.list"))).message).toBe(
          "RPC method not found: user.list (did you mean 'users.list'?)",
        );
        expect((await failureOf(client.call("orders"))).message).toBe("RPC method not found: orders");
        expect((await failureOf(client.request("caht"))).message).toBe("No handler for message type 'caht'");
        expect((await failureOf(client.request("chats"))).message).toBe(
          "No handler for message type 'chats' (did you mean 'chat'?)",
        );
      }),
    );

    for (const direction of ["client", "server"] as const) {
      test(
        `the ${direction}'s onError hears of each kind of send that the other side refuses`,
        staged(async (stage) => {
          const { server, client, connection, atServer, atClient } = await pair(stage);
          const [sender, heard, atReceiver] =
            direction === "client" ? [client, atClient, atServer] : [connection, atServer, atClient];
          const on = (type: string, schema: v.GenericSchema, handler: () => unknown) =>
            direction === "client" ? server.on(type, schema, handler) : client.on(type, schema, handler);
          on("typed", v.object({ text: v.string() }), () => null);
          on("refused", v.any(), () => {
            throw error("Read only", { code: 403 });
          });
          on("broken", v.any(), async () => {
            throw new Error("the disk is full");
          });
          sender.send("typed", { text: 7 });
          sender.send("refused");
          sender.send("unknown");
          sender.send("broken");
          sender.callNoWait("missing");
          const inOrder = [...(await heard.count(5))].sort((a, b) => (a.name ?? "").localeCompare(b.name ?? ""));
          const broken = (await atReceiver.count(3)).find(({ failureId }) => failureId !== undefined);
          const text = "Internal server error";
          expect(inOrder).toMatchObject([
            { stage: "send", name: "broken", code: ErrorCode.INTERNAL, text, count: 1 },
            { stage: "send", name: "missing", code: ErrorCode.METHOD_NOT_FOUND, count: 1 },
            { stage: "send", name: "refused", code: 403, text: "Read only", count: 1 },
            { stage: "send", name: "typed", code: ErrorCode.INVALID_TYPE, count: 1 },
            { stage: "send", name: "unknown", code: ErrorCode.NO_HANDLER, count: 1 },
          ]);
          expect(broken).toBeDefined();
        }),
      );
    }

    test(
      "of a thousand refused sends the sender hears once at first, and the number of the rest when the connection closes",
      staged(async (stage) => {
        const { client, connection, atClient } = await pair(stage);
        const ended = new EventLog<null>();
        client.onDisconnect(() => ended.add(null));
        for (let n = 0; n < 1000; n++) {
          client.send("unknown", n);
          if (n % 100 === 0) await client.drained();
        }
        await client.request("unknown").catch(() => null);
        await connection.close();
        await ended.next();
        const heard = atClient.all.filter(({ stage }) => stage === "send");
        expect(heard[0]).toMatchObject({ name: "unknown", count: 1 });
        expect(heard.length).toBeLessThan(20);
        expect(heard.reduce((sum, { count = 0 }) => sum + count, 0)).toBe(1000);
      }),
    );

    test(
      "a send that an onUnknown hook takes, one that succeeds and a broadcast that nobody handles are no refusal",
      staged(async (stage) => {
        const { server, client, atServer, atClient } = await pair(stage);
        const unknown = new EventLog<string>();
        server.onUnknown((_connection, type) => unknown.add(type));
        server.on("fine", () => "a reply that nobody asked for");
        client.send("unknown");
        client.send("fine");
        server.broadcast("news", 1);
        expect(await unknown.next()).toBe("unknown");
        await client.request("fine");
        await connectionOf(server, client)
          .request("anything")
          .catch(() => null);
        expect([atClient.all, atServer.all]).toEqual([[], []]);
      }),
    );

    test(
      "reports of refused sends from a hostile peer are merged, whatever their codes are",
      staged(async (stage) => {
        const { server, atServer } = await pair(stage);
        server.rpc("ping", () => "pong");
        const peer = await stage.rawLoggedIn(server);
        for (let code = 0; code < 2000; code++) peer.write(frame(REFUSED, { name: "x", code, error: "no", count: 1 }));
        peer.write(frame(Type.RPC_REQUEST, { method: "ping", params: {} }, { id: 1n }));
        await peer.next();
        expect(atServer.all.length).toBeLessThan(200);
      }),
    );

    test(
      "a relay passes on the code of a call that failed with error.forward, and else INTERNAL",
      staged(async (stage) => {
        const { server: upstream, client: relayed } = await pair(stage);
        upstream.rpc("pay", () => error("Card refused", { code: 402, details: { card: "1234" } }));
        upstream.rpc(
          "slow",
          (_params, { signal }) =>
            new Promise((_, reject) => {
              signal.addEventListener("abort", () => reject(signal.reason));
            }),
        );
        const relay = await stage.listen();
        relay.rpc("forwarded", async ({ method }) => {
          try {
            return await relayed.call(method as string, {}, { timeoutMs: 30 });
          } catch (failure) {
            throw error.forward(failure);
          }
        });
        relay.rpc("plain", ({ method }) => relayed.call(method as string, {}, { timeoutMs: 30 }));
        const client = await stage.join(relay);
        const details = { card: "1234" };
        expect(await failureOf(client.call("forwarded", { method: "pay" }))).toMatchObject({ code: 402, details });
        const late = await failureOf(client.call("forwarded", { method: "slow" }));
        expect(late).toMatchObject({ code: ErrorCode.TIMEOUT, message: "A call to another peer failed: TIMEOUT" });
        expect(late).toBeInstanceOf(RpcError);
        expect((await failureOf(client.call("plain", { method: "slow" }))).code).toBe(ErrorCode.INTERNAL);
      }),
    );
  });
}

const REFUSED = 0x0110 as typeof Type.MESSAGE;
