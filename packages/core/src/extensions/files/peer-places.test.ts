import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { microtasks } from "../../test-support/microtasks.ts";
import { PeerPlaces } from "./peer-places.ts";

/** Takes places for named peers, and records the names of those that got one. */
function taker(places: PeerPlaces) {
  const served: string[] = [];
  const releases: (() => void)[] = [];
  const peers = new Map<string, object>();
  const take = (name: string, signal?: AbortSignal): void => {
    const peer = peers.get(name) ?? {};
    peers.set(name, peer);
    places.take(peer, signal).then(
      (release) => {
        served.push(name);
        releases.push(release);
      },
      () => served.push(`${name} gave up`),
    );
  };
  return { served, take, release: () => releases.shift()?.() };
}

test("all peers together have so many places at most, which go to them in turn", async () => {
  const places = new PeerPlaces(3);
  places.maxAll = 3;
  const { served, take, release } = taker(places);
  for (const name of ["a", "a", "b", "c", "d", "d"]) take(name);
  await microtasks();
  expect(served).toEqual(["a", "b", "c"]);
  for (let count = 0; count < 5; count += 1) {
    release();
    await microtasks();
  }
  expect(served.slice(3)).toEqual(["a", "d", "d"]);
});

test("peers that take all they can and free nothing leave places to others", async () => {
  const places = new PeerPlaces(64);
  places.maxAll = 80;
  const { served, take } = taker(places);
  for (let count = 0; count < 20; count += 1) {
    for (let peer = 0; peer < 20; peer += 1) take(`greedy ${peer}`);
  }
  take("honest");
  await microtasks();
  expect(served.at(-1)).toBe("honest");
});

test("a peer that gave up waiting leaves its turn to the next one", async () => {
  const places = new PeerPlaces(3);
  places.maxAll = 1;
  const { served, take, release } = taker(places);
  const controller = new AbortController();
  take("a");
  take("b", controller.signal);
  take("c");
  controller.abort();
  await microtasks();
  release();
  await microtasks();
  expect(served).toEqual(["a", "b gave up", "c"]);
});

test("whoever gives up gets the signal's reason, and no error is made", async () => {
  const places = new PeerPlaces(1);
  const reason = new Error("given up");
  const controller = new AbortController();
  const peer = {};
  await places.take(peer, undefined);
  const waiting = places.take(peer, controller.signal);
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  await expect(places.take(peer, controller.signal)).rejects.toBe(reason);
});

test("nothing stays on a signal when a place was taken, or was given up", async () => {
  const places = new PeerPlaces(1);
  const { take, release, served } = taker(places);
  const [lasting, ending] = [new AbortController(), new AbortController()];
  take("a", lasting.signal);
  take("a", lasting.signal);
  take("a", ending.signal);
  await microtasks();
  ending.abort();
  release();
  await microtasks();
  expect(served).toEqual(["a", "a gave up", "a"]);
  expect([lasting, ending].map(({ signal }) => getEventListeners(signal, "abort").length)).toEqual([0, 0]);
});
