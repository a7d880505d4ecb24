import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { Staged } from "../scene.ts";
import type { ClientScene } from "./scene.ts";

export function describeMessages(staged: Staged<ClientScene>): void {
  describe("messages", () => {
    test(
      "a handler's reply comes back as <type>_response, and a handler without one sends nothing",
      staged(async (scene) => {
        const server = await scene.listen({}, (made) => {
          made.on("hello", v.object({ name: v.string() }), (_, { name }) => ({ message: `Hello, ${name}!` }));
          made.on("silent", () => undefined);
        });
        const { client } = await scene.logIn(server, {}, ["hello_response", "silent_response"]);
        await scene.driver.run("send", { client, type: "silent", data: null });
        await scene.driver.run("send", { client, type: "hello", data: { name: "Ada" } });
        expect(await scene.message(client, "hello_response")).toEqual({ message: "Hello, Ada!" });
        expect(scene.driver.arrived({ event: "message", client, type: "silent_response" })).toEqual([]);
      }),
    );

    test(
      "a broadcast reaches all clients except the excluded ones",
      staged(async (scene) => {
        const server = await scene.listen();
        const first = await scene.logIn(server, {}, ["news", "last"]);
        const second = await scene.logIn(server, {}, ["news", "last"]);
        const third = await scene.logIn(server, {}, ["news", "last"]);
        expect(server.broadcast("news", { n: 1 }, { exclude: second.connection.id })).toBe(2);
        expect(server.broadcast("last")).toBe(3);
        // Messages arrive in order, so once the last one is here, missing news won't arrive.
        for (const { client } of [first, second, third]) await scene.message(client, "last");
        const newsOf = ({ client }: { client: string }): unknown[] =>
          scene.driver.arrived({ event: "message", client, type: "news" }).map(({ data }) => data);
        expect([first, second, third].map(newsOf)).toEqual([[{ n: 1 }], [], [{ n: 1 }]]);
      }),
    );

    test(
      "1,000 messages sent at once arrive in order, each way",
      staged(async (scene) => {
        const received = new EventLog<unknown>();
        const server = await scene.listen({}, (made) => made.on("up", (_, data) => received.add(data)));
        const { client, connection } = await scene.logIn(server, {}, ["down"]);
        const expected = Array.from({ length: 1000 }, (_, n) => ({ n }));

        await scene.driver.run("burst", { client, type: "up", count: 1000 });
        expect(await received.count(1000)).toEqual(expected);

        for (const data of expected) connection.send("down", data);
        const arrived: unknown[] = [];
        while (arrived.length < 1000) arrived.push(await scene.message(client, "down"));
        expect(arrived).toEqual(expected);
      }),
    );

    test(
      "a client that sends faster than handlers run is slowed down, and nothing is lost",
      staged(async (scene) => {
        const received = new EventLog<unknown>();
        const server = await scene.listen({ receiveQueueSize: 10, handlerConcurrency: 1 }, (made) =>
          made.on("up", async (_, data) => {
            await new Promise(setImmediate);
            received.add(data);
          }),
        );
        const { client } = await scene.logIn(server);
        await scene.driver.run("burst", { client, type: "up", count: 1000 });
        expect(await received.count(1000)).toEqual(Array.from({ length: 1000 }, (_, n) => ({ n })));
      }),
    );
  });
}
