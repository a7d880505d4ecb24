import type { BindingProcess } from "../sockets/handle.ts";
import { fakeHandle } from "./fake-handle.ts";

interface Request {
  oncomplete?(status: number): void;
}

/** Node's bindings for connections, without a system behind them. */
export function fakeDialBinding() {
  const calls: unknown[] = [];
  const handles: object[] = [];
  const requests: Request[] = [];
  const fake = {
    calls,
    handles,
    /** What connecting returns. */
    status: 0 as number | undefined,
    /** Ends what began first. */
    complete(status: number): void {
      requests.shift()?.oncomplete?.(status);
    },
  };
  function begin(call: unknown[], request: Request): number | undefined {
    calls.push(call);
    requests.push(request);
    return fake.status;
  }

  class FakeConnectable {
    constructor(type: number) {
      if (type !== 0) throw new Error("Not for a connection");
      handles.push(this);
    }

    connect(request: Request, address: string, port?: number): number | undefined {
      return begin(["connect", address, port], request);
    }
  }
  const { useUserBuffer, readStart, readStop, writeBuffer, shutdown, close } = fakeHandle();
  Object.assign(FakeConnectable.prototype, { useUserBuffer, readStart, readStop, writeBuffer, shutdown, close });

  class TCP extends FakeConnectable {
    connect6(request: Request, address: string, port: number): number | undefined {
      return begin(["connect6", address, port], request);
    }
  }
  class Pipe extends FakeConnectable {}
  const constants = { SOCKET: 0, SERVER: 1 };
  return Object.assign(fake, {
    tcp: { TCP, TCPConnectWrap: class TCPConnectWrap {}, constants },
    pipe: { Pipe, PipeConnectWrap: class PipeConnectWrap {}, constants },
  });
}

/** A process that gives away these. */
export function fakeProcess(bindings: Readonly<Record<string, object | null>>): BindingProcess {
  return {
    binding(name) {
      const found = bindings[name];
      if (!found) throw new Error(`No such binding: ${name}`);
      return found;
    },
  };
}
