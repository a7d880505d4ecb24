import type { OpenClient } from "../support/subject.ts";

/** The methods of a client under test by which the checks use its topics, as README.md says. */
export function addTopicMethods(client: Pick<OpenClient, "rpc" | "send" | "subscribe" | "publish">): void {
  const closing = new Map<string, () => void>();
  client.rpc("wire_subscribe", ({ topic }) => {
    const subscription = client.subscribe(String(topic));
    closing.set(String(topic), () => subscription.close());
    const read = async (): Promise<void> => {
      for await (const data of subscription) client.send("topic", data);
      client.send("topic_end");
    };
    // The connection ends with the check.
    read().catch(() => {});
  });
  client.rpc("wire_unsubscribe", ({ topic }) => closing.get(String(topic))?.());
  client.rpc("wire_publish", ({ topic, data }) => client.publish(String(topic), data));
}
