import type { CallOptions } from "../../endpoint/call-options.ts";
import { PUBLISH_OPTIONS } from "../../endpoint/known-call-options.ts";
import { withParent } from "../../endpoint/nested-call.ts";
import type { Outgoing } from "../../endpoint/remote-caller.ts";
import { withCallerStack } from "../../errors.ts";
import { TOPIC_PUBLISH } from "../../extensions/topics/topic.ts";
import type { Validator } from "../../rpc/validation.ts";

/** Validates data and publishes it. Rejects like `call`. */
export async function publishTopic(
  outgoing: Outgoing,
  validator: Validator<unknown> | null,
  name: string,
  data: unknown,
  options: CallOptions | undefined,
): Promise<void> {
  try {
    PUBLISH_OPTIONS.check(options, name);
    const checked: unknown = validator === null ? data : await validator.run(data, name);
    await outgoing.call(TOPIC_PUBLISH, { topic: name, data: checked ?? null }, withParent(name, options), null);
  } catch (error) {
    throw withCallerStack(error);
  }
}
