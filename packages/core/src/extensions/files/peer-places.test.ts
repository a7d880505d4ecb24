import { expect, test } from "vitest";
import { microtasks } from "../../test-support/microtasks.ts";
import { PeerPlaces } from "./peer-places.ts";

/** Takes a place for a peer, and notes its name when it has it. */
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
  places.maxAll = 4;
  const { served, take, release } = taker(places);
  for (const name of ["a", "a", "a", "a", "a", "b", "b", "c"]) take(name);
  await microtasks();
  expect(served).toEqual(["a", "a", "a", "b"]);
  for (let count = 0; count < 4; count += 1) {
    release();
    await microtasks();
  }
  expect(served.slice(4)).toEqual(["a", "b", "c", "a"]);
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
