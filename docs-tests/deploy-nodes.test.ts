import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { readText } from "./lib/markdown.ts";

const DOCUMENT = readText("docs/deploy-nodes.md");
const [compose, kubernetes] = [...DOCUMENT.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => {
  const documents = parseAllDocuments(text!, { strict: true, uniqueKeys: true });
  return documents.map((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    // biome-ignore lint/suspicious/noExplicitAny: a manifest has any shape
    return document.toJS() as any;
  });
});
const drainSeconds = Number(/drainMs: ([\d_]+)/.exec(DOCUMENT)![1]!.replaceAll("_", "")) / 1000;

test("the compose file has services that it refers to, and volumes and configs that they use", () => {
  const [file] = compose!;
  const services = Object.keys(file.services);
  expect(services).toEqual(["nats", "node", "balancer"]);
  for (const { depends_on = [] } of Object.values<{ depends_on?: string[] }>(file.services)) {
    for (const name of depends_on) expect(services).toContain(name);
  }
  expect(Object.keys(file.volumes)).toEqual(["nats"]);
  expect(Object.keys(file.configs)).toEqual([file.services.balancer.configs[0].source]);
});

test("the Service selects the pods of the Deployment, at the port that they have", () => {
  const [deployment, service] = kubernetes!;
  const { template, selector } = deployment.spec;
  expect(template.metadata.labels).toEqual(selector.matchLabels);
  expect(service.spec.selector).toEqual(selector.matchLabels);
  expect(service.spec.ports[0].targetPort).toBe(template.spec.containers[0].ports[0].containerPort);
});

test("nodes have longer to stop than they take to drain", () => {
  expect(kubernetes![0].spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(drainSeconds);
  expect(Number.parseInt(compose![0].services.node.stop_grace_period, 10)).toBeGreaterThan(drainSeconds);
});
