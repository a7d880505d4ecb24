/** netconduit with a pool of one connection as its client. Only used by the regression check, to compare with the client. */
import type { BenchClient, Peer } from "../lib/peer.ts";
import { type AddParams, methodName } from "../lib/workload.ts";
import { library, PASSWORD, peer as plain } from "./netconduit.ts";

export const peer: Peer = {
  ...plain,
  name: "netconduit-pool",
  title: "netconduit, pool of one",
  async connect({ host, port }): Promise<BenchClient> {
    const { ClientPool } = await library();
    const pool = new ClientPool({ servers: [{ host, port }], password: PASSWORD });
    await pool.connect();
    return {
      call: (params: AddParams, method = 0) => pool.call(methodName(method), params) as Promise<number>,
      close: () => pool.disconnect(),
    };
  },
};
