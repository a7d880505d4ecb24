import type { FakeRuntime } from "./fake-runtime.ts";

const SIDES = { client: 0, server: 1 } as const;

/** Tracks `ref` and `unref` of one side's streams opened after this call: whether each keeps the process running, in order. */
export function trackKeepAlive(runtime: FakeRuntime, side: keyof typeof SIDES): readonly boolean[] {
  const keeping: boolean[] = [];
  const pair = runtime.pair.bind(runtime);
  runtime.pair = () => {
    const streams = pair();
    const stream = streams[SIDES[side]];
    const index = keeping.push(true) - 1;
    stream.ref = () => {
      keeping[index] = true;
    };
    stream.unref = () => {
      keeping[index] = false;
    };
    return streams;
  };
  return keeping;
}
