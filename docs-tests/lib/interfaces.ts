/** Reads member names from source files without running them. */
import ts from "typescript";
import { readText } from "./markdown.ts";

/** The members that an interface declares, without inherited ones. Throws if there are none. */
export function interfaceMembers(file: string, name: string): string[] {
  const source = ts.createSourceFile(file, readText(file), ts.ScriptTarget.ESNext);
  for (const statement of source.statements) {
    if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== name) continue;
    return statement.members.map((member) => {
      if (member.name === undefined || !ts.isIdentifier(member.name)) throw new Error(`${file}: an unnamed member`);
      return member.name.text;
    });
  }
  throw new Error(`${file} has no interface ${name}`);
}

/** The public members of a class, without those marked `@internal`. */
export function publicMembers(file: string, name: string): string[] {
  const source = ts.createSourceFile(file, readText(file), ts.ScriptTarget.ESNext);
  const declaration = source.statements.find(
    (statement) => ts.isClassDeclaration(statement) && statement.name?.text === name,
  );
  if (declaration === undefined || !ts.isClassDeclaration(declaration)) throw new Error(`${file} has no class ${name}`);
  const names = declaration.members.flatMap((member) => {
    const isHidden =
      ts.canHaveModifiers(member) &&
      ts.getModifiers(member)?.some(({ kind }) => kind === ts.SyntaxKind.ProtectedKeyword) === true;
    if (isHidden || member.name === undefined || !ts.isIdentifier(member.name)) return [];
    return member.getFullText(source).includes("@internal") ? [] : [member.name.text];
  });
  return [...new Set(names)];
}
