import { expect, test, vi } from "vitest";
import { Pace, pacedFiles } from "./paced-files.ts";

/** Operations that the test ends. */
function operations() {
  const pace = new Pace();
  const begun: string[] = [];
  const begin = (name: string) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const ended = pace.run(() => {
      begun.push(name);
      return promise;
    });
    return { ended, end: () => resolve(name), fail: () => reject(new Error(name)) };
  };
  return { begun, begin };
}

test("operations begin in order, each when the one before has ended, also if that failed", async () => {
  const { begun, begin } = operations();
  const [a, b, c] = [begin("a"), begin("b"), begin("c")];
  expect(begun).toEqual(["a"]);
  a.fail();
  await expect(a.ended).rejects.toThrow("a");
  await vi.waitFor(() => expect(begun).toEqual(["a", "b"]));
  b.end();
  expect(await b.ended).toBe("b");
  c.end();
  expect(await c.ended).toBe("c");
  const d = begin("d");
  expect(begun).toEqual(["a", "b", "c", "d"]);
  d.end();
  await d.ended;
});

test("one that takes long doesn't hold up the others", async () => {
  const { begun, begin } = operations();
  const [slow, other] = [begin("slow"), begin("other")];
  other.end();
  expect(await other.ended).toBe("other");
  expect(begun).toEqual(["slow", "other"]);
  slow.end();
  expect(await slow.ended).toBe("slow");
  const next = begin("next");
  expect(begun).toContain("next");
  next.end();
  await next.ended;
});

/** Anything that is called with anything, and notes that. */
function noting(asked: unknown[], returned: Record<string, unknown> = {}) {
  return new Proxy(
    {},
    {
      get: (_, name) =>
        name === "then"
          ? undefined
          : async (...given: unknown[]): Promise<unknown> => {
              asked.push([name, ...given]);
              return returned[String(name)];
            },
    },
  );
}

test("every operation waits for its turn but those that wait for the disk, and has its arguments", async () => {
  const pace = new Pace();
  const asked: unknown[] = [];
  const paced = pacedFiles(noting(asked, { open: noting(asked) }) as never, pace);
  const file = await paced.open("a", 1, 2);
  expect(asked.splice(0)).toEqual([["open", "a", 1, 2]]);
  const first = Promise.withResolvers<void>();
  const running = pace.run(() => first.promise);
  const [exact, bytes] = [{ bigint: true } as const, new Uint8Array(1)];
  const all = [
    file.stat(exact),
    file.read(bytes, 0, 1, 2),
    file.write(bytes, 0, 1, 2),
    file.truncate(3),
    file.close(),
    paced.lstat("a", exact),
    paced.stat("a", exact),
    paced.readdir("a"),
    paced.mkdir("a", { mode: 1 }),
    paced.rmdir("a"),
    paced.link("a", "b"),
    paced.rename("a", "b"),
    paced.unlink("a"),
  ];
  expect(asked).toEqual([]);
  await file.sync();
  expect(asked.splice(0)).toEqual([["sync"]]);
  first.resolve();
  await Promise.all([running, ...all]);
  expect(asked).toEqual([
    ["stat", exact],
    ["read", bytes, 0, 1, 2],
    ["write", bytes, 0, 1, 2],
    ["truncate", 3],
    ["close"],
    ["lstat", "a", exact],
    ["stat", "a", exact],
    ["readdir", "a"],
    ["mkdir", "a", { mode: 1 }],
    ["rmdir", "a"],
    ["link", "a", "b"],
    ["rename", "a", "b"],
    ["unlink", "a"],
  ]);
});
