import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import {
  type ConnectionEvent,
  type ConnectionState,
  ConnectionStateMachine,
  type StateChange,
  toMermaid,
  transitions,
} from "./connection-state.ts";

const states = Object.keys(transitions) as ConnectionState[];
const events: ConnectionEvent[] = [
  "dial",
  "accepted",
  "opened",
  "authenticated",
  "ready",
  "pause",
  "resume",
  "cut",
  "restore",
  "drain",
  "close",
  "closed",
  "fail",
];

function machine(errors: unknown[] = []): ConnectionStateMachine {
  return new ConnectionStateMachine({
    wallClock: () => 1_700_000_000_000,
    listenerFailed: (error) => errors.push(error),
  });
}

function driven(...path: ConnectionEvent[]): ConnectionStateMachine {
  const made = machine();
  for (const event of path) made.transition(event, { message: "test" });
  return made;
}

describe("the transition table", () => {
  test("leads from every state to a state of the table", () => {
    for (const state of states) {
      for (const to of Object.values(transitions[state])) expect(states).toContain(to);
    }
  });

  test("uses every event", () => {
    const used = new Set(states.flatMap((state) => Object.keys(transitions[state])));
    expect([...used].sort()).toEqual([...events].sort());
  });

  test("reaches every state from the beginning", () => {
    const reached = new Set<ConnectionState>(["disconnected"]);
    for (const state of reached) {
      for (const to of Object.values(transitions[state])) reached.add(to);
    }
    expect([...reached].sort()).toEqual([...states].sort());
  });

  test("lets every state but the first end by an event of its own", () => {
    for (const state of states.filter((name) => !["disconnected", "closed", "failed"].includes(name))) {
      expect(transitions[state].fail).toBe("failed");
    }
  });

  test("is drawn transition by transition", () => {
    const drawn = toMermaid().split("\n");
    const moves = states.flatMap((from) =>
      Object.entries(transitions[from]).map(([event, to]) => `  ${from} --> ${to}: ${event}`),
    );
    expect(drawn).toEqual(["stateDiagram-v2", "  [*] --> disconnected", ...moves]);
  });
});

describe("ConnectionStateMachine", () => {
  test("takes a client from connecting to active and back", () => {
    const client = driven("dial", "opened", "authenticated", "ready");
    expect(client.state).toBe("active");
    client.transition("close", { message: "done" });
    client.transition("closed", { message: "done" });
    expect(client.state).toBe("closed");
    client.transition("dial", { message: "again" });
    expect(client.state).toBe("connecting");
  });

  test("begins a server's connection at the handshake", () => {
    expect(driven("accepted").state).toBe("authenticating");
  });

  test("says which events are possible", () => {
    const active = driven("accepted", "authenticated", "ready");
    expect(events.filter((event) => active.allows(event))).toEqual([
      "pause",
      "cut",
      "drain",
      "close",
      "closed",
      "fail",
    ]);
  });

  test("refuses a transition that the table does not have", () => {
    const fresh = machine();
    expect(() => fresh.transition("ready", { message: "too early" })).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_STATE, details: { state: "disconnected", event: "ready" } }),
    );
    expect(fresh.state).toBe("disconnected");
  });

  test("tells listeners the states, event, reason and time of a change", () => {
    const seen: StateChange[] = [];
    const connection = machine();
    connection.onChange((change) => seen.push(change));
    connection.transition("dial", { message: "connect()" });
    connection.transition("fail", { code: ErrorCode.CONNECTION_REFUSED, message: "refused" });
    const atMs = 1_700_000_000_000;
    expect(seen).toEqual([
      { from: "disconnected", to: "connecting", event: "dial", reason: { message: "connect()" }, atMs },
      {
        from: "connecting",
        to: "failed",
        event: "fail",
        reason: { code: ErrorCode.CONNECTION_REFUSED, message: "refused" },
        atMs,
      },
    ]);
  });

  test("has moved already when listeners are told", () => {
    const connection = machine();
    let state = "";
    connection.onChange(() => {
      state = connection.state;
    });
    connection.transition("accepted", { message: "test" });
    expect(state).toBe("authenticating");
  });

  test("tells the other listeners when one throws, and reports the error", () => {
    const errors: unknown[] = [];
    const connection = machine(errors);
    const broken = new Error("broken listener");
    let told = 0;
    connection.onChange(() => {
      throw broken;
    });
    connection.onChange(() => told++);
    connection.transition("dial", { message: "test" });
    expect(told).toBe(1);
    expect(errors).toEqual([broken]);
  });

  test("reports what an asynchronous listener rejects with", async () => {
    const errors: unknown[] = [];
    const connection = machine(errors);
    const broken = new Error("broken listener");
    connection.onChange(async () => {
      throw broken;
    });
    connection.transition("dial", { message: "test" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(errors).toEqual([broken]);
  });

  test("tells all listeners the changes in order when a listener causes the next one", () => {
    const connection = machine();
    const seen: string[] = [];
    connection.onChange((change) => {
      if (change.event === "dial") connection.transition("fail", { message: "at once" });
    });
    connection.onChange((change) => seen.push(change.event));
    connection.transition("dial", { message: "test" });
    expect(seen).toEqual(["dial", "fail"]);
  });

  test("does not tell a removed listener, even if it was removed during the change", () => {
    const connection = machine();
    const seen: string[] = [];
    connection.onChange(() => remove());
    const remove = connection.onChange((change) => seen.push(change.event));
    connection.transition("dial", { message: "test" });
    expect(seen).toEqual([]);
  });

  test("removes one registration of a function that was added twice", () => {
    const connection = machine();
    let told = 0;
    const listener = (): void => {
      told++;
    };
    connection.onChange(listener);
    connection.onChange(listener)();
    connection.transition("dial", { message: "test" });
    expect(told).toBe(1);
  });

  test("follows the table, refuses other events and tells every change, whatever the order of events", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...events), { maxLength: 60 }), (sequence) => {
        const connection = machine();
        const seen: string[] = [];
        const expected: string[] = [];
        connection.onChange(({ from, to, event }) => seen.push(`${from} ${event} ${to}`));
        for (const event of sequence) {
          const from = connection.state;
          const to = transitions[from][event];
          if (to === undefined) {
            expect(() => connection.transition(event, { message: "test" })).toThrow(ConduitError);
            expect(connection.state).toBe(from);
          } else {
            connection.transition(event, { message: "test" });
            expect(connection.state).toBe(to);
            expected.push(`${from} ${event} ${to}`);
          }
        }
        expect(seen).toEqual(expected);
      }),
    );
  });
});
