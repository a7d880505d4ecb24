import process from "node:process";

/**
 * Calls `callback` at the end of this turn of the event loop: after all microtasks, before more I/O. What a program
 * does by hand that wants to write once what it gathered in a turn.
 */
export function atTurnEnd(callback: () => void): void {
  queueMicrotask(() => process.nextTick(callback));
}
