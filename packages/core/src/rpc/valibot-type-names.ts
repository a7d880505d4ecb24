import {
  type FieldNames,
  HAS_DEFAULT,
  mergeAlternatives,
  mergeParts,
  type TypeNames,
  typeNameOf,
} from "./type-name-lists.ts";

/** The properties of valibot's schemas and pipe items that determine a type; `type` decides which exist. */
interface ValibotNode {
  readonly kind: "schema" | "validation" | "transformation" | "metadata";
  readonly type: string;
  readonly entries?: Readonly<Record<string, ValibotNode>>;
  readonly wrapped?: ValibotNode;
  readonly default?: unknown;
  readonly pipe?: readonly ValibotNode[];
  readonly options?: readonly unknown[];
  readonly literal?: unknown;
  readonly class?: unknown;
}

type Side = "input" | "output";

const NAMES: Readonly<Record<string, string>> = {
  string: "str",
  number: "float",
  nan: "float",
  bigint: "int",
  boolean: "bool",
  date: "datetime",
  array: "list",
  tuple: "list",
  loose_tuple: "list",
  strict_tuple: "list",
  tuple_with_rest: "list",
  set: "list",
  object: "dict",
  loose_object: "dict",
  strict_object: "dict",
  object_with_rest: "dict",
  record: "dict",
  map: "dict",
  null: "None",
  undefined: "None",
  void: "None",
};

const OPTIONAL: ReadonlySet<string> = new Set(["optional", "exact_optional", "nullable", "nullish", "undefinedable"]);
const TAKES_NULL: ReadonlySet<string> = new Set(["nullable", "nullish"]);
const NON_OPTIONAL: ReadonlySet<string> = new Set(["non_optional", "non_nullable", "non_nullish"]);

/** Output types of transformations. Those not listed keep the type (`trim`, `to_lower_case`, `readonly` …). */
const TRANSFORMED: Readonly<Record<string, string>> = {
  to_string: "str",
  stringify_json: "str",
  to_number: "float",
  to_bigint: "int",
  to_boolean: "bool",
  parse_boolean: "bool",
  to_date: "datetime",
  transform: "Any",
  raw_transform: "Any",
  parse_json: "Any",
  reduce_items: "Any",
  find_item: "Any",
  await: "Any",
};

/** Whether `schema` is a valibot schema. */
export function isValibotNode(schema: unknown): schema is ValibotNode {
  const node = schema as Partial<ValibotNode> & { readonly "~standard"?: { readonly vendor?: unknown } };
  return node["~standard"]?.vendor === "valibot" && node.kind === "schema" && typeof node.type === "string";
}

/** Type names of a valibot schema, on its input or its output side. */
export function namesOfValibot(schema: unknown, side: Side): TypeNames {
  const node = schema as ValibotNode;
  if (node.pipe !== undefined) return namesOfPipe(node.pipe, side);
  if (node.wrapped !== undefined) return namesOfWrapped(node, node.wrapped, side);
  switch (node.type) {
    case "literal":
      return [typeNameOf(node.literal)];
    case "picklist":
    case "enum":
      return (node.options ?? []).map(typeNameOf);
    case "union":
    case "variant":
      return (node.options ?? []).flatMap((option) => namesOfValibot(option, side));
    case "intersect":
      return node.options?.[0] === undefined ? ["Any"] : namesOfValibot(node.options[0], side);
    case "instance":
      return [nameOfClass(node.class)];
    default:
      return [NAMES[node.type] ?? "Any"];
  }
}

function namesOfWrapped(node: ValibotNode, wrapped: ValibotNode, side: Side): TypeNames {
  const names = namesOfValibot(wrapped, side);
  if (NON_OPTIONAL.has(node.type)) {
    return names.filter((name) => name !== "None" && name !== HAS_DEFAULT);
  }
  if (!OPTIONAL.has(node.type)) return names;
  if (node.default === undefined) return [...names, "None"];
  if (side === "output") return names;
  return TAKES_NULL.has(node.type) ? [...names, "None", HAS_DEFAULT] : [...names, HAS_DEFAULT];
}

function namesOfPipe(pipe: readonly ValibotNode[], side: Side): TypeNames {
  let names: TypeNames = ["Any"];
  for (const [index, item] of pipe.entries()) {
    if (item.kind === "schema") {
      if (index > 0 && side === "input") break; // later schemas validate a transformation's output
      names = namesOfValibot(item, side);
    } else if (item.kind === "transformation") {
      const transformed = TRANSFORMED[item.type];
      if (transformed !== undefined && side === "input") break;
      if (transformed !== undefined) names = [transformed];
    } else if (item.type === "integer" || item.type === "safe_integer") {
      names = names.map((name) => (name === "float" ? "int" : name));
    }
  }
  return names;
}

function nameOfClass(constructor: unknown): string {
  if (constructor === Uint8Array) return "bytes";
  return constructor === Date ? "datetime" : "Any";
}

/** Fields of a valibot object schema; empty for other schemas. */
export function fieldsOfValibot(schema: unknown, side: Side): FieldNames {
  const node = schema as ValibotNode;
  if (node.entries !== undefined) {
    return new Map(Object.entries(node.entries).map(([name, entry]) => [name, namesOfValibot(entry, side)]));
  }
  if (node.wrapped !== undefined) return fieldsOfValibot(node.wrapped, side);
  if (!["union", "variant", "intersect"].includes(node.type)) return new Map();
  const shapes = (node.options ?? []).map((option) => fieldsOfValibot(option, side));
  return node.type === "intersect" ? mergeParts(shapes) : mergeAlternatives(shapes);
}
