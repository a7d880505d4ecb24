/** Marks a parameter with a default, which may be omitted but not null. */
export const HAS_DEFAULT = "(default)";
/** The type names of a field, in the schema's order, possibly with duplicates. */
export type TypeNames = readonly string[];
/** Fields of an object schema. */
export type FieldNames = ReadonlyMap<string, TypeNames>;

/** The type name of a value, for literals and enumerations. */
export function typeNameOf(value: unknown): string {
  switch (typeof value) {
    case "string":
      return "str";
    case "boolean":
      return "bool";
    case "bigint":
      return "int";
    case "number":
      return Number.isInteger(value) ? "int" : "float";
    case "undefined":
      return "None";
    default:
      return value === null ? "None" : "Any";
  }
}

/** Fields of a union of shapes. A field missing from some shapes is optional. */
export function mergeAlternatives(shapes: readonly FieldNames[]): FieldNames {
  const merged = new Map<string, TypeNames>();
  for (const shape of shapes) {
    for (const [name, types] of shape) merged.set(name, [...(merged.get(name) ?? []), ...types]);
  }
  for (const [name, types] of merged) {
    if (!shapes.every((shape) => shape.has(name))) merged.set(name, [...types, "None"]);
  }
  return merged;
}

/** Fields of an intersection of shapes. */
export function mergeParts(shapes: readonly FieldNames[]): FieldNames {
  return new Map(shapes.flatMap((shape) => [...shape]));
}
