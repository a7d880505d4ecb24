import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { extensionNames, NO_EXTENSIONS, negotiate, offered, toPayload } from "./extensions.ts";

describe("extensions", () => {
  test("two peers of this library agree on all of them", () => {
    const agreed = negotiate(offered());
    expect(extensionNames.filter((name) => agreed[name])).toEqual([...extensionNames]);
    expect(negotiate(toPayload(agreed))).toEqual(agreed);
  });

  test("`advance` is neither offered nor agreed on where it is not allowed", () => {
    const { advance: _, ...others } = offered();
    expect(offered(false)).toEqual(others);
    expect(toPayload(negotiate(offered(), false))).toEqual(others);
  });

  test("silence agrees on none", () => {
    expect(negotiate(undefined)).toEqual(NO_EXTENSIONS);
  });

  test("only what both sides know is agreed on", () => {
    expect(toPayload(negotiate({ flow: true, teleport: true, close: true }))).toEqual({ flow: true, close: true });
  });

  test("parameters other than true decline the extension", () => {
    expect(negotiate({ flow: 1, close: {}, reply: false, call: null, cancel: "true" })).toEqual(NO_EXTENSIONS);
  });

  test("names are not looked up on the prototype", () => {
    expect(negotiate(Object.create({ flow: true }))).toEqual(NO_EXTENSIONS);
  });

  test("garbage agrees on none and does not throw", () => {
    fc.assert(
      fc.property(fc.anything(), (offer) => {
        const agreed = negotiate(offer);
        expect(Object.keys(agreed)).toEqual([...extensionNames]);
      }),
    );
  });
});
