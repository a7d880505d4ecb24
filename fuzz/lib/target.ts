/** Code under test that processes bytes of a peer. */
export interface Target {
  readonly name: string;
  /** Valid initial inputs. */
  seeds(): Promise<readonly Uint8Array[]>;
  /** Number of inputs per coverage query to V8, which takes about 8 ms. */
  readonly batch: number;
  /** Throws or rejects if an input breaks a rule. */
  run(input: Uint8Array): void | Promise<void>;
}

/** A broken rule. */
export class Violation extends Error {
  override readonly name: string = "Violation";
}

export function must(condition: boolean, message: string): void {
  if (!condition) throw new Violation(message);
}
