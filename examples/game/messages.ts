/** The game's messages: schemas shared by server and clients. */

import * as v from "valibot";

const Cell = v.pipe(v.number(), v.integer(), v.minValue(0));
const Name = v.pipe(v.string(), v.minLength(1), v.maxLength(20));
const OneStep = v.picklist([-1, 0, 1]);

/** Result of the client's method `profile`. */
export const Profile = v.object({ name: Name, role: v.picklist(["player", "spectator"]) });

/** Message `move` to the server. */
export const Step = v.object({ dx: OneStep, dy: OneStep });

export const Position = v.object({ x: Cell, y: Cell });
export type Position = v.InferOutput<typeof Position>;

/** Message `tick` to the clients. */
export const Tick = v.object({
  tick: v.number(),
  coin: Position,
  players: v.array(v.object({ name: Name, coins: v.number(), ...Position.entries })),
});

/** Message `match_over` to the clients. */
export const MatchOver = v.object({ winner: Name, ticks: v.number() });

/** Result of the server's method `look`. */
export const View = v.object({ phase: v.picklist(["waiting", "playing", "asking"]), tick: v.number() });
