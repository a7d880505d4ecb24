/** A wall clock that can jump. Doesn't affect monotonic time. */
const RealDate = Date;
let offsetMs = 0;

class JumpingDate extends RealDate {
  constructor(...given: readonly unknown[]) {
    if (given.length === 0) super(RealDate.now() + offsetMs);
    else super(...(given as [number]));
  }

  static override now(): number {
    return RealDate.now() + offsetMs;
  }
}

/** Replaces this process's `Date`. Must be called before the library is loaded. */
export function installJumpingClock(): void {
  globalThis.Date = JumpingDate as DateConstructor;
}

/** Sets the clock's error. */
export function jumpTo(milliseconds: number): void {
  offsetMs = milliseconds;
}
