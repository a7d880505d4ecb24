/** Types of `server.peer(id)`: those of the contract, as for a connection of this node. */

import * as v from "valibot";
import { expectTypeOf, test } from "vitest";
import type { Contract } from "../rpc/contract.ts";
import type { Server } from "../server/server.ts";

const contract = {
  client: {
    messages: { note: v.string() },
    methods: { sum: { params: v.object({ n: v.number() }), result: v.number(), input: v.number() } },
  },
} satisfies Contract;

test("A client on another node is called as the contract says", () => {
  const call = (server: Server<typeof contract>) => server.peer("id").call("sum", { n: 1 }, { input: [1] });
  expectTypeOf(call).returns.resolves.toEqualTypeOf<number>();
  (server: Server<typeof contract>) => {
    const peer = server.peer("id");
    peer.send("note", "text");
    // @ts-expect-error it has other data
    peer.send("note", 5);
    // @ts-expect-error it has other parameters
    peer.call("sum", { n: "1" });
    // @ts-expect-error its input has other items
    peer.call("sum", { n: 1 }, { input: ["a"] });
    // @ts-expect-error there is no such method
    peer.call("missing", {});
    // @ts-expect-error there is no such stream
    peer.stream("missing", {});
  };
});
