import { expect, test } from "vitest";
import type { DeadLetter } from "../endpoint/dead-letter.ts";
import { ErrorCode } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import { DeadLetters } from "./dead-letters.ts";

/** Dead letters with these ids in a store. */
function scene(...ids: readonly string[]) {
  const store = memoryStore();
  const failures: unknown[] = [];
  const letters = new DeadLetters({
    store,
    codec: {
      encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
      decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
    },
    now: () => 0,
    storeFailed: (error) => void failures.push(error),
  });
  for (const id of ids) {
    letters._keep({
      id,
      type: "t",
      data: 1,
      key: "k",
      deliveries: 1,
      error: { code: 1, message: "" },
      user: "",
      at: 0,
    });
  }
  return { store, letters, failures };
}

const idsOf = (letters: readonly DeadLetter[]): string[] => letters.map(({ id }) => id);

test("as many dead letters are listed as are asked for", async () => {
  const { letters } = scene("1", "2", "3");
  expect(idsOf(await letters.list({ limit: 2 }))).toEqual(["1", "2"]);
  expect(idsOf(await letters.list({ limit: 5000 }))).toEqual(["1", "2", "3"]);
});

test.for([-1, 0, 2.5, Number.NaN])("a limit of %s is refused", async (limit) => {
  const { letters } = scene("1");
  await expect(letters.list({ limit })).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
});

test("a dead letter that can't be read is left out, and reported", async () => {
  const { store, letters, failures } = scene("1", "3");
  await store.put("dead/2", new Uint8Array([1]), 1000);
  expect(idsOf(await letters.list())).toEqual(["1", "3"]);
  expect(failures).toMatchObject([{ code: ErrorCode.STORE_FAILED }]);
});
