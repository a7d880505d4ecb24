/** Something that takes bytes from a peer. */
export interface Target {
  readonly name: string;
  /** Valid inputs to begin with. */
  seeds(): Promise<readonly Uint8Array[]>;
  /** Inputs that run before V8 is asked what they reached, which takes it some 8 ms. */
  readonly batch: number;
  /** Throws, or rejects, if an input does what it may not. */
  run(input: Uint8Array): void | Promise<void>;
}

/** A broken rule. */
export class Violation extends Error {
  override readonly name: string = "Violation";
}

export function must(condition: boolean, message: string): void {
  if (!condition) throw new Violation(message);
}
