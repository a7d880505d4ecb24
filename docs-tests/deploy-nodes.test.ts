import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { describeAbsence } from "../interop/absence.ts";
import { pythonWith } from "../interop/python-environment.ts";
import { readText } from "./lib/markdown.ts";

const DOCUMENT = readText("docs/deploy-nodes.md");
const [composeText, kubernetesText] = [...DOCUMENT.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!);
const [compose, kubernetes] = [composeText!, kubernetesText!].map((text) => {
  const documents = parseAllDocuments(text, { strict: true, uniqueKeys: true });
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

/** Both bundle their schemas, so they need no network after installation. */
const LINTERS = ["check-jsonschema==0.39.0", "kubernetes-validate==1.37.0"];
const IMPORTS = "import check_jsonschema, kubernetes_validate; print('both')";
const environment = await pythonWith(LINTERS.join("+"), IMPORTS, LINTERS);
if (environment.python === null) describeAbsence("linting of deployments", environment.reason);
else describeLinting(environment.python);

function describeLinting(python: string): void {
  let folder: string;
  const lint = (text: string, ...program: readonly string[]): { status: number | null; output: string } => {
    const file = join(folder, "deployment.yaml");
    writeFileSync(file, text);
    const [module, ...options] = program;
    const { status, stdout, stderr } = spawnSync(python, ["-m", module!, ...options, file], { encoding: "utf8" });
    return { status, output: stdout + stderr };
  };
  const lintCompose = (text: string) => lint(text, "check_jsonschema", "--builtin-schema", "vendor.compose-spec");
  const lintKubernetes = (text: string) => lint(text, "kubernetes_validate", "--strict");

  describe("linted", () => {
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "nc-deploy-"));
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    test("the compose file is one by the Compose specification", () => {
      expect(lintCompose(composeText!)).toMatchObject({ status: 0 });
    });

    test.each([
      ["depends_on: [nats]", "depend_on: [nats]"],
      ["replicas: 3", "replica: 3"],
      ["stop_grace_period: 30s", "stop_grace_period: 30"],
      ['ports: ["8080:8080"]', "ports: { 8080: 8080 }"],
    ])("a compose file with a mistake is refused: not %s but %s", (right, wrong) => {
      expect(composeText).toContain(right);
      const { status, output } = lintCompose(composeText!.replace(right, wrong));
      expect(status).toBe(1);
      expect(output).toContain("Schema validation errors");
    });

    test("the manifests are ones of Kubernetes", () => {
      const { status, output } = lintKubernetes(kubernetesText!);
      expect(status, output).toBe(0);
      expect(output.match(/ passed for resource \w+\/\w+/g)).toHaveLength(kubernetes!.length);
    });

    test.each([
      ["maxSurge: 1", "maxsurge: 1"],
      ["replicas: 3", 'replicas: "3"'],
      ["containerPort: 8080", "port: 8080"],
      ["targetPort: 8080", "target: 8080"],
      ["secretKeyRef:", "secretRef:"],
    ])("a manifest with a mistake is refused: not %s but %s", (right, wrong) => {
      expect(kubernetesText).toContain(right);
      const { status, output } = lintKubernetes(kubernetesText!.replace(right, wrong));
      expect(status).toBe(1);
      expect(output).toContain("did not validate");
    });
  });
}
