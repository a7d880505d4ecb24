import type { ConduitError, Connection, ErrorContext } from "@netconduit/core";
import { expect } from "vitest";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { call, Type } from "../../packages/core/src/testing/raw-frames.ts";
import type { SteppedClock } from "../support/stepped-clock.ts";
import type { OpenServer } from "../support/subject.ts";
import type { Stage } from "./stage.ts";

/** A server, a logged-in raw peer, and the errors reported by the server. */
export interface RawScene {
  readonly server: OpenServer;
  readonly peer: RawPeer;
  readonly connection: Connection;
  readonly errors: EventLog<{ error: ConduitError; context: ErrorContext<Connection> }>;
  /** Checks that the connection works: calls `echo` and waits for the answer. */
  lives(): Promise<void>;
}

export async function rawScene(
  stage: Stage,
  options: Parameters<Stage["listen"]>[0] = {},
  clock?: SteppedClock,
): Promise<RawScene> {
  const server = await stage.listen(options, clock?.runtime);
  const errors = new EventLog<{ error: ConduitError; context: ErrorContext<Connection> }>();
  server.onError((error, context) => errors.add({ error: error as ConduitError, context }));
  server.rpc("echo", (params) => params);
  const peer = await stage.rawLoggedIn(server);
  const connection = server.connections[0] as Connection;
  let id = 1_000_000n;
  const lives = async (): Promise<void> => {
    id += 1n;
    peer.write(call(id, "echo", { id: String(id) }));
    for (;;) {
      const answer = await peer.next();
      if (answer.type === Type.RPC_RESPONSE && answer.id === id) break;
    }
    expect(connection.isConnected).toBe(true);
  };
  return { server, peer, connection, errors, lives };
}
