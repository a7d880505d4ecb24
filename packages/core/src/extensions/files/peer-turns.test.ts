import { expect, test } from "vitest";
import { PeerTurns } from "./peer-turns.ts";

test("tasks of a peer run one after the other, also after one that failed, and beside those of other peers", async () => {
  const turns = new PeerTurns();
  const [one, other] = [{}, {}];
  const begun: string[] = [];
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const run = (peer: object, name: string): Promise<void> => {
    const gate = Promise.withResolvers<void>();
    gates.set(name, gate);
    return turns.run(peer, () => {
      begun.push(name);
      return gate.promise;
    });
  };
  const [first, second, third] = [run(one, "first"), run(one, "second"), run(other, "third")];
  gates.get("third")?.resolve();
  await third;
  expect(begun).toEqual(["first", "third"]);
  gates.get("first")?.reject(new Error("no"));
  await expect(first).rejects.toThrow("no");
  gates.get("second")?.resolve();
  await second;
  expect(begun).toEqual(["first", "third", "second"]);
});
