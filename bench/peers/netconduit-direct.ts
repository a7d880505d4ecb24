/**
 * netconduit with calls directly on the connection, without the asynchronous function that adds the caller's stack to
 * errors. Only used by the regression check.
 */
import type { BenchClient, Peer } from "../lib/peer.ts";
import { type AddParams, methodName } from "../lib/workload.ts";
import { connect, peer as plain } from "./netconduit.ts";

/** The part of the client that isn't public. */
interface Direct {
  readonly _outgoing: { call(method: string, params: unknown, options: undefined, results: null): Promise<unknown> };
}

export const peer: Peer = {
  ...plain,
  name: "netconduit-direct",
  title: "netconduit, without the caller's stack",
  async connect(target, options): Promise<BenchClient> {
    const connected = await connect(target, options);
    const { _outgoing: outgoing } = connected.client as unknown as Direct;
    return {
      call: (params: AddParams, method = 0) =>
        outgoing.call(methodName(method), params, undefined, null) as Promise<number>,
      close: () => connected.close(),
    };
  },
};
