import {
  type FieldNames,
  HAS_DEFAULT,
  mergeAlternatives,
  mergeParts,
  type TypeNames,
  typeNameOf,
} from "./type-name-lists.ts";

/** The keywords of JSON Schema (draft 2020-12) that determine a type. */
interface JsonSchemaNode {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchemaNode[];
  readonly oneOf?: readonly JsonSchemaNode[];
  readonly allOf?: readonly JsonSchemaNode[];
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>;
  readonly required?: readonly string[];
}

const NAMES: Readonly<Record<string, string>> = {
  string: "str",
  number: "float",
  integer: "int",
  boolean: "bool",
  array: "list",
  object: "dict",
  null: "None",
};

/** Type names of a JSON Schema. References aren't followed; they count as `Any`. */
export function namesOfJsonSchema(schema: unknown): TypeNames {
  const node = schema as JsonSchemaNode;
  if (typeof node.type === "string") return [NAMES[node.type] ?? "Any"];
  if (Array.isArray(node.type)) return node.type.map((type: string) => NAMES[type] ?? "Any");
  if (node.enum !== undefined) return node.enum.map(typeNameOf);
  if ("const" in node) return [typeNameOf(node.const)];
  const alternatives = node.anyOf ?? node.oneOf;
  if (alternatives !== undefined) return alternatives.flatMap(namesOfJsonSchema);
  return node.allOf?.[0] === undefined ? ["Any"] : namesOfJsonSchema(node.allOf[0]);
}

/** Fields of the JSON Schema of an object; empty for any other. */
export function fieldsOfJsonSchema(schema: unknown): FieldNames {
  const node = schema as JsonSchemaNode;
  if (node.properties !== undefined) {
    const required = new Set(node.required);
    return new Map(
      Object.entries(node.properties).map(([name, property]) => {
        const names = namesOfJsonSchema(property);
        if (required.has(name)) return [name, names];
        return [name, [...names, "default" in property ? HAS_DEFAULT : "None"]];
      }),
    );
  }
  const alternatives = node.anyOf ?? node.oneOf;
  if (alternatives !== undefined) return mergeAlternatives(alternatives.map(fieldsOfJsonSchema));
  return mergeParts((node.allOf ?? []).map(fieldsOfJsonSchema));
}
