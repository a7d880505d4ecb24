import fc from "fast-check";
import { expect, test } from "vitest";
import { RenewedMap } from "./renewed-map.ts";

test("holds what a Map would", () => {
  const map = new RenewedMap<number, number>();
  const model = new Map<number, number>();
  // More deletions than necessary for a copy.
  const steps = fc.array(fc.tuple(fc.nat(30), fc.boolean()), { minLength: 5000, maxLength: 5000 });
  fc.assert(
    fc.property(steps, (all) => {
      for (const [step, [key, isSet]] of all.entries()) {
        if (isSet) {
          map.set(key, step);
          model.set(key, step);
        } else {
          map.delete(key);
          model.delete(key);
        }
        expect(map.get(key)).toBe(model.get(key));
        expect(map.size).toBe(model.size);
      }
      map.clear();
      model.clear();
      expect(map.size).toBe(0);
    }),
    { numRuns: 5 },
  );
});
