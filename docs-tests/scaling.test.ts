import { expect, test } from "vitest";
import { COSTS, scalingTables } from "../bench/lib/scaling.ts";
import { readText } from "./lib/markdown.ts";

const text = readText("docs/scaling.md");

/** A cell of the page's first table row that begins with `row`. */
function measured(row: string, column: number): number {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`| ${row} |`)) ?? "";
  return Number(line.split("|")[column + 1]?.replaceAll(",", ""));
}

test.each([...scalingTables()])("docs/scaling.md has the table %s as bench/scaling.ts reckons it", (name, table) => {
  expect(text).toContain(`<!-- ${name}:begin -->\n\n${table}\n\n<!-- ${name}:end -->`);
});

test("bench/scaling.ts reckons with the costs that docs/scaling.md has measured", () => {
  const [publishing, nats, receiving] = [1, 2, 3].map((column) => measured("another node, 100 in a turn", column));
  const natsIn = measured("same node, 100 in a turn", 2);
  expect(COSTS).toMatchObject({
    deliveryUs: measured("a server without `cluster`, 1 in a turn", 2),
    sendUs: publishing,
    receiveUs: receiving,
    natsInUs: expect.closeTo(natsIn, 2),
    natsOutUs: expect.closeTo(nats! - natsIn, 2),
    loginUs: Number(/A login with SCRAM takes (\d+) µs/.exec(text)?.[1]),
    nodeBytes: measured("3 nodes", 3) * 2 ** 20,
    topicBytes: measured("50,000", 1),
    subscriptionBytes: measured("50,000", 2) - measured("50,000", 1),
    natsSubscriptionBytes: measured("50,000", 3),
  });
});
