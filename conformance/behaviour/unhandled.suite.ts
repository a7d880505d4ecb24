import { type ConduitError, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { OpenClient, OpenServer, Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n);

/** Messages that the other side hasn't handled when it closes. The sender is notified of each loss. */
export function describeUnhandledMessages(subject: Subject): void {
  const staged = stagedOn(subject);

  /** Records the numbers passed to a server's handler of `note`. */
  function notesOf(server: OpenServer): EventLog<number> {
    const notes = new EventLog<number>();
    server.on("note", (_client, n) => notes.add(n as number));
    return notes;
  }

  /** Counts messages that were reported to the sender as not handled. */
  function lossesOf(client: OpenClient): { count: number } {
    const losses = { count: 0 };
    client.onError((error, { stage, count = 1 }) => {
      if (stage === "send" && (error as ConduitError).code === ErrorCode.CONNECTION_CLOSED) losses.count += count;
    });
    return losses;
  }

  /** Starts a client with queued notes and a server that stops when it handles the tenth. */
  async function stoppedInFlush(stage: Stage, drainMs: number) {
    const server = await stage.listen({ receiveQueueSize: 50 });
    const notes = notesOf(server);
    server.on("stop", () => void server.stop({ drainMs }));
    const client = stage.client(server, { queueWhileDisconnected: "send" });
    const losses = lossesOf(client);
    for (const n of numbers(0, 500)) {
      client.send("note", n);
      if (n === 9) client.send("stop");
    }
    const left = gate();
    client.onDisconnect(() => left.open());
    await client.connect();
    await left.promise;
    await server.stop();
    return { notes, losses };
  }

  describe(`messages that a stopping server of ${subject.name} doesn't handle`, PATIENT, () => {
    test(
      "are reported to their sender by one error, with their number and names: they are the last that it sent",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1 });
        const started = gate();
        server.on("note", () => {
          started.open();
          return new Promise(() => {});
        });
        const client = await stage.join(server);
        const errors = new EventLog<{ error: Error; context: object }>();
        client.onError((error, context) => errors.add({ error, context }));
        for (let n = 0; n < 40; n++) client.send("note", n);
        client.callNoWait("last");
        await started.promise;
        await until(() => connectionOf(server, client).stats.messagesReceived === 41);
        await server.stop({ drainMs: 0 });
        const { error, context } = await errors.next();
        expect(error).toMatchObject({
          code: ErrorCode.CONNECTION_CLOSED,
          details: { count: 40, names: [...Array<string>(31).fill("note"), "last"] },
        });
        expect(error.message).toBe(
          "The server closed the connection without handling the last 40 of send() and callNoWait() ('note', 'last'): " +
            "The server is stopping",
        );
        expect(context).toMatchObject({ stage: "send", name: "last", count: 40 });
        expect(errors.all).toHaveLength(1);
      }),
    );

    test(
      "of a server are reported to it when the client disconnects, those on their way included",
      staged(async (stage) => {
        const server = await stage.listen();
        const errors = new EventLog<{ error: Error; context: object }>();
        server.onError((error, context) => errors.add({ error, context }));
        const client = await stage.join(server, { handlerConcurrency: 1, receiveQueueSize: 20 });
        const started = gate();
        client.on("note", () => {
          started.open();
          return new Promise(() => {});
        });
        client.onError(() => undefined);
        const connection = connectionOf(server, client);
        for (let n = 0; n < 40; n++) connection.send("note", n);
        server.broadcast("note", "isn't counted");
        connection.callNoWait("last");
        await started.promise;
        await client.disconnect();
        const { error, context } = await errors.next();
        expect(error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED, details: { count: 40 } });
        expect(error.message).toContain("The client closed the connection without handling the last 40 of send()");
        expect(context).toMatchObject({ stage: "send", name: "last", count: 40, client: connection });
      }),
    );

    test(
      "are told also if they had not left, or were on their way: all are handled or told",
      staged(async (stage) => {
        const server = await stage.listen({ receiveQueueSize: 20, handlerConcurrency: 2 });
        const notes = new EventLog<number>();
        server.on("note", async (_client, n) => {
          notes.add(n as number);
          await turn();
        });
        const client = await stage.join(server);
        const losses = lossesOf(client);
        const left = gate();
        client.onDisconnect(() => left.open());
        for (let n = 0; n < 900; n++) client.send("note", n);
        await notes.count(30);
        await server.stop({ drainMs: 0 });
        await left.promise;
        expect(losses.count).toBeGreaterThan(0);
        expect(notes.all).toEqual(numbers(0, 900 - losses.count));
      }),
    );

    test(
      "are none if the drain is long enough, also in the middle of the flush of an offline queue",
      staged(async (stage) => {
        const { notes, losses } = await stoppedInFlush(stage, 60_000);
        expect([notes.all, losses.count]).toEqual([numbers(0, 500), 0]);
      }),
    );

    test(
      "are told in the middle of the flush of an offline queue, too",
      staged(async (stage) => {
        let lost = 0;
        // On a busy machine, all may have been handled before the server stops. Then repeat.
        while (lost === 0) {
          const { notes, losses } = await stoppedInFlush(stage, 0);
          lost = losses.count;
          expect(notes.all).toEqual(numbers(0, 500 - lost));
        }
      }),
    );

    test(
      "are the only ones missing when another server takes its place: what is sent meanwhile waits for that",
      staged(async (stage) => {
        for (let round = 0; round < 5; round++) {
          const first = await stage.listen({ receiveQueueSize: 20, handlerConcurrency: 2 });
          const firstNotes = notesOf(first);
          const { port } = first.address;
          const reconnect = { delayMs: 5, maxDelayMs: 20 };
          const client = await stage.join(first, { queueWhileDisconnected: "send", reconnect });
          const losses = lossesOf(client);
          const reconnected = gate();
          client.onReconnect(() => reconnected.open());
          let sent = 0;
          const send = (count: number): void => {
            for (let n = 0; n < count; n++) client.send("note", sent++);
          };
          send(100 + round);
          const stopped = first.stop({ drainMs: round % 2 === 0 ? 0 : 60_000 });
          for (let n = 0; n < 20; n++) {
            send(10);
            await turn();
          }
          await stopped;
          const second = stage.server({ port });
          const secondNotes = notesOf(second);
          await second.start();
          send(10);
          await reconnected.promise;
          send(10);
          await secondNotes.count(sent - firstNotes.all.length - losses.count);
          const handled = firstNotes.all.length;
          expect(firstNotes.all).toEqual(numbers(0, handled));
          expect(secondNotes.all).toEqual(numbers(handled + losses.count, sent));
          if (round % 2 === 1) expect(losses.count).toBe(0);
          await client.disconnect();
          await second.stop();
        }
      }),
    );

    test(
      "are not those that disconnect() has flushed: all that was sent before it is handled",
      staged(async (stage) => {
        const server = await stage.listen({ receiveQueueSize: 20, handlerConcurrency: 2 });
        const notes = new EventLog<number>();
        server.on("note", async (_client, n) => {
          notes.add(n as number);
          await turn();
        });
        const client = await stage.join(server);
        const losses = lossesOf(client);
        for (let n = 0; n < 900; n++) client.send("note", n);
        await client.disconnect();
        await notes.count(900);
        expect([notes.all, losses.count]).toEqual([numbers(0, 900), 0]);
      }),
    );
  });
}
