import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { Staged } from "../scene.ts";
import type { ServerScene } from "./scene.ts";

export function describeMessages(staged: Staged<ServerScene>): void {
  describe("messages", () => {
    test(
      "request() resolves with the handler's reply",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        expect(await ours.request("hello", { name: "Ada" })).toEqual({ message: "Hello, Ada!" });
      }),
    );

    test(
      "concurrent requests of one type get their replies in order",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        const replies = await Promise.all([1, 2, 3].map((n) => ours.request("echo", { n })));
        expect(replies).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
      }),
    );

    test(
      "the reply to a sent message arrives as a message of type <type>_response",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        const replies = new EventLog<unknown>();
        ours.on("hello_response", replies.add);
        ours.send("hello", { name: "Ada" });
        expect(await replies.next()).toEqual({ message: "Hello, Ada!" });
      }),
    );

    test(
      "a broadcast reaches all clients except the excluded ones",
      staged(async (scene) => {
        const target = await scene.listen();
        const clients = [await scene.logIn(target), await scene.logIn(target), await scene.logIn(target)] as const;
        const received = clients.map((ours) => {
          const news = new EventLog<unknown>();
          ours.on("news", news.add);
          return news.all;
        });
        const ids = await Promise.all(clients.map((ours) => scene.idOf(ours)));
        const args = { server: target.server, type: "news", data: { n: 1 } };
        expect(await scene.driver.run("broadcast", { ...args, exclude: [ids[1]] })).toBe(2);
        // Messages arrive in order: the answer to a later request comes after the news.
        await Promise.all(clients.map((ours) => scene.idOf(ours)));
        expect(received).toEqual([[{ n: 1 }], [], [{ n: 1 }]]);
      }),
    );

    test(
      "1,000 messages sent at once arrive in order, each way",
      staged(async (scene) => {
        const target = await scene.listen();
        const ours = await scene.logIn(target);
        const expected = Array.from({ length: 1000 }, (_, n) => n);

        for (const n of expected) ours.send("count", { n, last: 999 });
        expect((await scene.driver.next({ event: "counted", server: target.server })).numbers).toEqual(expected);

        const arrived = new EventLog<unknown>();
        ours.on("tick", arrived.add);
        await scene.driver.run("burst", { server: target.server, type: "tick", count: 1000 });
        expect(await arrived.count(1000)).toEqual(expected.map((n) => ({ n })));
      }),
    );

    test(
      "a server that sends faster than handlers run is slowed down, and nothing is lost",
      staged(async (scene) => {
        const target = await scene.listen();
        const ours = await scene.logIn(target, { receiveQueueSize: 10, handlerConcurrency: 1 });
        const arrived = new EventLog<unknown>();
        ours.on("tick", async (data) => {
          await new Promise(setImmediate);
          arrived.add(data);
        });
        await scene.idOf(ours);
        await scene.driver.run("burst", { server: target.server, type: "tick", count: 1000 });
        expect(await arrived.count(1000)).toEqual(Array.from({ length: 1000 }, (_, n) => ({ n })));
      }),
    );
  });
}
