import {
  type CloseReason,
  type Connection,
  Server as CoreServer,
  ErrorCode,
  type ErrorContext,
  error,
  type Rejection,
} from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { call, message } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

/** Lifecycle hooks: order, awaiting, removal, failure, delay. */
export function describeHooks(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`hooks on ${subject.name}`, PATIENT, () => {
    test(
      "startup hooks run in order, awaited, before the server listens",
      staged(async (stage) => {
        const server = stage.server();
        const log: string[] = [];
        server.onStartup(async (srv) => {
          await turn();
          log.push(`first ${srv.config.name} ${srv.state}`);
        });
        server.onStartup(() => void log.push("second"));
        server.onStartup(() => void log.push("removed"))();
        await server.start();
        expect(log).toEqual(["first conduit_server starting", "second"]);
      }),
    );

    test(
      "a startup hook that fails fails start(), nothing listens, and the next start() tries again",
      staged(async (stage) => {
        const server = stage.server();
        const log: string[] = [];
        let broken = true;
        server.onStartup(async () => {
          log.push("first");
          if (broken) throw new Error("no database");
        });
        server.onStartup(() => void log.push("second"));
        await expect(server.start()).rejects.toThrow("no database");
        expect(log).toEqual(["first"]);
        expect([server.state, server.address.port]).toEqual(["stopped", 0]);
        broken = false;
        await server.start();
        expect(server.isRunning).toBe(true);
      }),
    );

    test(
      "connections are still usable inside the shutdown hooks",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("ping", () => "pong");
        const client = await stage.join(server);
        const heard = new EventLog<unknown>();
        client.on("goodbye", heard.add);
        client.rpc("save", () => "saved");
        const answers = new EventLog<unknown>();
        server.onShutdown(async (srv) => {
          expect(srv.broadcast("goodbye", "soon")).toBe(1);
          answers.add(await srv.connections[0]?.call("save"));
          answers.add(await client.call("ping"));
        });
        await server.stop();
        expect(answers.all).toEqual(["saved", "pong"]);
        expect(heard.all).toEqual(["soon"]);
      }),
    );

    test(
      "shutdown hooks run in order, awaited; one that fails is reported, and the next one runs",
      staged(async (stage) => {
        const server = await stage.listen();
        const log: string[] = [];
        const errors = new EventLog<ErrorContext<Connection> & { text: string }>();
        server.onError((error, context) => errors.add({ ...context, text: error.message }));
        server.onShutdown(async () => {
          await turn();
          log.push("first");
          throw new Error("broken");
        });
        server.onShutdown(() => void log.push("second"));
        server.onShutdown(() => void log.push("removed"))();
        await server.stop();
        expect(log).toEqual(["first", "second"]);
        expect(errors.all).toEqual([{ stage: "hook", name: "onShutdown", text: "broken" }]);
      }),
    );

    test(
      "a shutdown hook that hangs delays stop() by no more than drainMs",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({ drainMs: 2000 }, clock.runtime);
        server.onShutdown(() => new Promise(() => {}));
        const client = await stage.join(server);
        const stopping = server.stop();
        await turn();
        expect(client.isConnected).toBe(true);
        clock.advance(2100);
        await stopping;
        expect(client.isConnected).toBe(false);
      }),
    );

    test(
      "connect and disconnect hooks run in order, awaited, and can be removed",
      staged(async (stage) => {
        const server = await stage.listen();
        const log = new EventLog<string>();
        const removed = server.onClientConnect(() => log.add("removed"));
        server.onClientConnect(async ({ info }) => {
          await turn();
          log.add(`connect 1 ${info.name}`);
        });
        server.onClientConnect(() => log.add("connect 2"));
        server.onClientDisconnect(async (_connection, { message }) => {
          await turn();
          log.add(`disconnect 1: ${message}`);
        });
        server.onClientDisconnect(() => log.add("disconnect 2"));
        server.onClientDisconnect(() => log.add("removed"))();
        removed();
        removed();
        const client = await stage.join(server, { name: "Ada" });
        await client.disconnect("done");
        expect(await log.count(4)).toEqual(["connect 1 Ada", "connect 2", "disconnect 1: done", "disconnect 2"]);
      }),
    );

    test(
      "hooks that fail are reported to onError with their name and client, and nothing else fails",
      staged(async (stage) => {
        const server = await stage.listen();
        const errors = new EventLog<unknown>();
        server.onError((error, { stage, name, client }) => errors.add([error.message, stage, name, client?.info.name]));
        server.onClientConnect(() => {
          throw new Error("connect");
        });
        server.onClientDisconnect(async () => {
          throw new Error("disconnect");
        });
        server.onClientRejected(() => {
          throw new Error("rejected");
        });
        server.rpc("ping", () => "pong");
        const client = await stage.join(server, { name: "Ada" });
        expect(await client.call("ping")).toBe("pong");
        await failureOf(stage.client(server, { password: "wrong" }).connect());
        await client.disconnect();
        await errors.count(3);
        expect(errors.all).toContainEqual(["connect", "hook", "onClientConnect", "Ada"]);
        expect(errors.all).toContainEqual(["disconnect", "hook", "onClientDisconnect", "Ada"]);
        expect(errors.all).toContainEqual(["rejected", "hook", "onClientRejected", undefined]);
      }),
    );

    test(
      "an onError hook can be removed, and one that fails becomes a warning of the runtime",
      staged(async (stage) => {
        const warnings = new EventLog<string>();
        const runtime = { ...subject.runtime, warn: (error: Error) => warnings.add(error.message) };
        const server = new CoreServer(stage.serverOptions({}), runtime);
        stage.defer(() => server.stop({ drainMs: 0 }));
        const removed = new EventLog<unknown>();
        server.onError(removed.add)();
        const remove = server.onError(() => {
          throw new Error("onError itself");
        });
        server.rpc("fail", () => {
          throw new Error("handler");
        });
        await server.start();
        const client = await stage.join(server);
        await failureOf(client.call("fail"));
        const failed = expect.stringMatching(/^A hook of 'onError' failed: .*onError itself/);
        expect(warnings.all).toEqual([failed]);
        remove();
        await failureOf(client.call("fail"));
        expect(warnings.all).toEqual([failed, expect.stringMatching(/^RPC method 'fail' failed .*handler/)]);
        expect(removed.all).toEqual([]);
      }),
    );

    test(
      "a slow connect hook delays only its own connection",
      staged(async (stage) => {
        const server = await stage.listen();
        const slow = gate();
        server.onClientConnect(({ info }) => (info.name === "slow" ? slow.promise : undefined));
        server.rpc("ping", () => "pong");
        const first = stage.client(server, { name: "slow" });
        let isConnected = false;
        const connecting = first.connect().then(() => {
          isConnected = true;
        });
        await until(() => server.connectionCount === 1);
        const second = await stage.join(server, { name: "fast" });
        expect(await second.call("ping")).toBe("pong");
        expect([isConnected, server.connections[0]?.state]).toEqual([false, "connected"]);
        expect(server.broadcast("news")).toBe(2);
        slow.open();
        await connecting;
        expect(await first.call("ping")).toBe("pong");
        expect(connectionOf(server, first).state).toBe("active");
      }),
    );

    test(
      "a connection's messages wait until its connect hooks are done, then start in order",
      staged(async (stage) => {
        const server = await stage.listen();
        const hook = gate();
        const log = new EventLog<unknown>();
        server.onClientConnect(async () => {
          await hook.promise;
          log.add("hook");
        });
        server.on("n", (_client, data) => log.add(data));
        const peer = await stage.rawLoggedIn(server);
        for (let n = 0; n < 10; n++) peer.write(message("n", n));
        await until(() => server.connections[0]?.stats.messagesReceived === 10);
        hook.open();
        expect(await log.count(11)).toEqual(["hook", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      }),
    );

    test(
      "a welcome sent from the connect hook arrives, and a connect hook may call its client",
      staged(async (stage) => {
        const server = await stage.listen();
        const answers = new EventLog<unknown>();
        server.onClientConnect(async (connection) => {
          connection.send("welcome", connection.id);
          answers.add(await connection.call("who"));
        });
        const client = stage.client(server);
        const heard = new EventLog<unknown>();
        client.on("welcome", heard.add);
        client.rpc("who", () => "Ada");
        await client.connect();
        expect(await heard.next()).toBe(connectionOf(server, client).id);
        expect(await answers.next()).toBe("Ada");
      }),
    );

    test(
      "a connect hook may turn a client away with a reason",
      staged(async (stage) => {
        const server = await stage.listen();
        server.onClientConnect((connection) => connection.close("You are banned"));
        const client = stage.client(server);
        expect(await failureOf(client.connect())).toMatchObject({
          code: ErrorCode.CONNECTION_CLOSED,
          message: "You are banned",
        });
      }),
    );

    test(
      "a connect hook that throws an RpcError turns the client away with its code and message",
      staged(async (stage) => {
        const server = await stage.listen();
        server.onClientConnect(({ info }) => {
          if (info.name === "banned") throw error("You are banned", { code: 451 });
        });
        const left = new EventLog<CloseReason>();
        server.onClientDisconnect((_connection, reason) => left.add(reason));
        const client = stage.client(server, { name: "banned", reconnect: { enabled: true, delayMs: 1 } });
        const ran: string[] = [];
        client.onConnect(() => void ran.push("connect"));
        client.onDisconnect(() => void ran.push("disconnect"));
        const rejections = new EventLog<Rejection>();
        server.onClientRejected((rejection) => rejections.add(rejection));
        const reason = { code: 451, message: "You are banned", reconnect: false };
        expect(await failureOf(client.connect())).toMatchObject({ code: 451, message: "You are banned" });
        expect(await rejections.next()).toMatchObject({ code: 451, codeName: "451", message: "You are banned" });
        expect([server.stats.rejected, ran]).toEqual([1, []]);
        expect(await left.next()).toMatchObject({ ...reason, byPeer: false });
        expect(server.connectionCount).toBe(0);
        expect((await stage.join(server, { name: "welcome" })).isConnected).toBe(true);
      }),
    );

    test(
      "connect hooks that take longer than connectionTimeoutMs end the connection with CONNECT_TIMEOUT",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({ connectionTimeoutMs: 2000 }, clock.runtime);
        const hook = gate();
        server.onClientConnect(() => hook.promise);
        const left = new EventLog<CloseReason>();
        server.onClientDisconnect((_connection, reason) => left.add(reason));
        const peer = await stage.rawLoggedIn(server);
        peer.write(call(1n, "any"));
        clock.advance(2100);
        await peer.over;
        hook.open();
        expect(await left.next()).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT, byPeer: false });
        expect(server.connectionCount).toBe(0);
      }),
    );

    test(
      "the disconnect hook of a connection runs after its connect hook, however slow that is",
      staged(async (stage) => {
        const server = await stage.listen();
        const hook = gate();
        const log = new EventLog<string>();
        server.onClientConnect(async () => {
          log.add("connect begins");
          await hook.promise;
          log.add("connect ends");
        });
        server.onClientDisconnect(() => log.add("disconnect"));
        const peer = await stage.rawLoggedIn(server);
        await log.count(1);
        peer.end();
        await until(() => server.connectionCount === 0);
        hook.open();
        expect(await log.count(3)).toEqual(["connect begins", "connect ends", "disconnect"]);
      }),
    );

    test(
      "stop() waits for the disconnect hooks",
      staged(async (stage) => {
        const server = await stage.listen();
        const finished = new EventLog<string>();
        server.onClientDisconnect(async () => {
          for (let n = 0; n < 5; n++) await turn();
          finished.add("left");
        });
        await stage.join(server);
        await server.stop();
        expect(finished.all).toEqual(["left"]);
      }),
    );
  });
}
