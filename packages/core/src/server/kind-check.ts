import type { Outgoing } from "../endpoint/remote-caller.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ClientKinds } from "../rpc/client-kinds.ts";
import { ONCE_METHOD } from "../rpc/once-window.ts";
import { EncodedValue } from "../wire/encoded-value.ts";

/** Rejects calls and messages that the client's kind doesn't support. */
export function withKindCheck(outgoing: Outgoing, kinds: ClientKinds, roles: readonly string[]): Outgoing {
  const check = (name: string, own: readonly string[] | undefined): void => {
    if (own === undefined || own.some((kind) => roles.includes(kind))) return;
    const message = `Cannot send '${name}': the contract has it for clients of the kind ${own.join(", ")}, and this one is not`;
    throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message, { details: { kinds: own } });
  };
  return {
    async call(method, params, options, validator) {
      if (method === ONCE_METHOD) checkOnce(params, kinds, check);
      else check(method, kinds.ofCall(method));
      return outgoing.call(method, params, options, validator);
    },
    async request(type, data, options, validator) {
      check(type, kinds.ofMessage(type));
      return outgoing.request(type, data, options, validator);
    },
    callNoWait(method, params, options) {
      check(method, kinds.ofCall(method));
      return outgoing.callNoWait(method, params, options);
    },
    sendMessage(type, data, options) {
      check(type, kinds.ofMessage(type));
      return outgoing.sendMessage(type, data, options);
    },
    streamConnection(called) {
      if (typeof called === "string") check(called, kinds.ofCall(called));
      return outgoing.streamConnection(called);
    },
    waitForRoom: () => outgoing.waitForRoom(),
  };
}

/** Checks a call or message with a key, whose name is inside the params of `$once`. */
function checkOnce(
  params: unknown,
  kinds: ClientKinds,
  check: (name: string, own: readonly string[] | undefined) => void,
): void {
  const fields = params instanceof EncodedValue ? params.decoded : params;
  const { method, type } = fields as { readonly method?: string; readonly type?: string };
  if (method !== undefined) check(method, kinds.ofCall(method));
  else if (type !== undefined) check(type, kinds.ofMessage(type));
}
