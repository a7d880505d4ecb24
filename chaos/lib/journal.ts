/** Records the ids that a process has received, and those acknowledged to it, in files that outlive it. */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

export type Side = "server" | "client";
/**
 * Meaning of a line: an id was handled here, was handled possibly for a second time, was acknowledged by the other
 * side, is about to be sent, or may or may not have been executed.
 */
export type Mark = "got" | "got-again" | "acked" | "sent" | "unknown";

/** Name of a client's lane: `c0>order` goes to the server, `c0<order` to the client. */
export type Lane = string;

const FLUSH_BYTES = 64 * 1024;
const PROGRESS_STEP = 50;

/** A deliberate fault of a receiver, which tests expect to be counted. */
export type ReceiverFault = "drops" | "swaps" | null;
const FAULTY_ID = 7;

export class Journal {
  readonly #file: number;
  readonly #isDurable: boolean;
  readonly #fault: ReceiverFault;
  readonly #progress: (entries: number) => void;
  #text = "";
  readonly #swapped = new Map<Lane, string>();
  #entries = 0;

  /** @param isDurable whether each line is written immediately, because the process may be killed */
  constructor(
    folder: string,
    side: Side,
    incarnation: number,
    isDurable: boolean,
    fault: ReceiverFault,
    progress: (entries: number) => void,
  ) {
    mkdirSync(folder, { recursive: true });
    this.#file = openSync(join(folder, `${side}-${incarnation}.log`), "a");
    this.#isDurable = isDurable;
    this.#fault = fault;
    this.#progress = progress;
  }

  get entries(): number {
    return this.#entries;
  }

  got(lane: Lane, id: number): void {
    this.#entries += 1;
    if (this.#entries % PROGRESS_STEP === 0) this.#progress(this.#entries);
    const isFaulty = id === FAULTY_ID && lane.endsWith("message");
    if (isFaulty && this.#fault === "drops") return;
    if (isFaulty && this.#fault === "swaps") {
      this.#swapped.set(lane, `got ${lane} ${id}\n`);
      return;
    }
    this.#write(`got ${lane} ${id}\n`);
    const swapped = this.#swapped.get(lane);
    if (swapped === undefined) return;
    this.#write(swapped);
    this.#swapped.delete(lane);
  }

  gotAgain(lane: Lane, id: number): void {
    this.#write(`got-again ${lane} ${id}\n`);
  }

  unknown(lane: Lane, id: number): void {
    this.#write(`unknown ${lane} ${id}\n`);
  }

  acked(lane: Lane, id: number): void {
    this.#write(`acked ${lane} ${id}\n`);
  }

  sent(lane: Lane, id: number): void {
    this.#write(`sent ${lane} ${id}\n`);
  }

  close(): void {
    this.#flush();
    closeSync(this.#file);
  }

  #write(line: string): void {
    this.#text += line;
    if (this.#isDurable || this.#text.length >= FLUSH_BYTES) this.#flush();
  }

  #flush(): void {
    const bytes = new TextEncoder().encode(this.#text);
    this.#text = "";
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
  }
}

/** Ids in the order of the lines. */
export interface Entries {
  readonly side: Side;
  readonly incarnation: number;
  readonly marks: ReadonlyMap<Mark, ReadonlyMap<Lane, readonly number[]>>;
}

/** The journals in a folder, in the order in which their processes ran. */
export function readJournals(folder: string): Entries[] {
  const names = readdirSync(folder).flatMap((name) => {
    const [, side, incarnation] = /^(server|client)-(\d+)\.log$/.exec(name) ?? [];
    return side === undefined ? [] : [{ side: side as Side, incarnation: Number(incarnation), name }];
  });
  names.sort((a, b) => a.incarnation - b.incarnation);
  return names.map(({ side, incarnation, name }) => {
    return { side, incarnation, marks: parse(readFileSync(join(folder, name), "utf8")) };
  });
}

function parse(text: string): Map<Mark, Map<Lane, number[]>> {
  const marks = new Map<Mark, Map<Lane, number[]>>();
  const lines = text.split("\n");
  // A killed process may have written its last line partially.
  lines.pop();
  for (const line of lines) {
    const [mark, lane = "", id] = line.split(" ") as [Mark, string, string];
    const lanes = marks.get(mark) ?? new Map<Lane, number[]>();
    marks.set(mark, lanes);
    const ids = lanes.get(lane) ?? [];
    lanes.set(lane, ids);
    ids.push(Number(id));
  }
  return marks;
}

/** Returns the ids of a lane that earlier processes of a side have marked. */
export function markedBefore(journals: readonly Entries[], side: Side, mark: Mark, lane: Lane): Set<number> {
  const own = journals.filter((one) => one.side === side);
  return new Set(own.flatMap(({ marks }) => marks.get(mark)?.get(lane) ?? []));
}
