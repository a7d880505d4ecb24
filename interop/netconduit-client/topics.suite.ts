import { describe, expect, test } from "vitest";
import type { Staged } from "../scene.ts";
import type { ClientScene } from "./scene.ts";

export function describeTopics(staged: Staged<ClientScene>): void {
  describe("topics, which are streams to netconduit", () => {
    test(
      "stream_list, stream_subscribe and stream_unsubscribe answer as netconduit's server does",
      staged(async (scene) => {
        const server = await scene.listen();
        const news = server.topic("news");
        const { client, connection } = await scene.logIn(server);
        const listed = await scene.callData<{ streams: unknown[] }>(client, "stream_list", {});
        expect(listed.streams).toEqual([{ name: "news", owner: "server", subscribers: 0, active: true }]);
        const subscribed = await scene.callData(client, "stream_subscribe", { stream_name: "news" });
        expect(subscribed).toEqual({ subscribed: true, stream: "news" });
        expect(news.subscribers).toEqual([connection]);
        const missing = await scene.callData(client, "stream_subscribe", { stream_name: "nothing" });
        expect(missing).toEqual({ error: "Stream not found: nothing" });
        for (const stream_name of ["news", "nothing"]) {
          const left = await scene.callData(client, "stream_unsubscribe", { stream_name });
          expect(left).toEqual({ unsubscribed: true });
        }
        expect(news.size).toBe(0);
      }),
    );

    test(
      "stream_data reaches those that subscribed, alone",
      staged(async (scene) => {
        const server = await scene.listen();
        const news = server.topic("news");
        const first = await scene.logIn(server, {}, ["stream_data", "last"]);
        const second = await scene.logIn(server, {}, ["stream_data", "last"]);
        await scene.call(first.client, "stream_subscribe", { stream_name: "news" });
        expect(news.publish({ n: 1 })).toBe(1);
        server.broadcast("last");
        for (const { client } of [first, second]) await scene.message(client, "last");
        const data = ({ client }: { client: string }): unknown[] =>
          scene.driver.arrived({ event: "message", client, type: "stream_data" }).map((event) => event.data);
        expect(data(first)).toMatchObject([{ stream: "news", data: { n: 1 } }]);
        expect(data(second)).toEqual([]);
      }),
    );

    test(
      "netconduit's own streams take part: iterated, pushed, created and closed",
      staged(async (scene) => {
        const server = await scene.listen();
        const rooms = server.topics("room:*", { authorize: () => true, publish: true });
        const { client } = await scene.logIn(server);
        const created = await scene.callData(client, "stream_create", { stream_name: "room:7" });
        expect(created).toMatchObject({ created: true, stream: "room:7" });
        const again = await scene.callData(client, "stream_create", { stream_name: "room:7" });
        expect(again).toEqual({ error: "Stream already exists" });
        const room = rooms.topic("room:7");
        await scene.driver.run("iterate_stream", { client, stream: "room:7" });
        await scene.driver.run("send", {
          client,
          type: "stream_data",
          data: { stream: "room:7", data: { text: "from Python" }, timestamp: 1.5 },
        });
        const item = async (): Promise<unknown> => (await scene.driver.next({ event: "stream_item", client })).data;
        expect(await item()).toMatchObject({ stream: "room:7", data: { text: "from Python" } });
        room.publish({ text: "from here" });
        expect(await item()).toMatchObject({ stream: "room:7", data: { text: "from here" } });
        expect(room.size).toBe(1);
        room.close();
        await scene.driver.next({ event: "stream_end", client });
      }),
    );
  });
}
