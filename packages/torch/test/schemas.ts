/** Schemas of operators, read apart from the generator's parser, and what a later libtorch may change about them. */

export interface SchemaArgument {
  name: string;
  /** Without alias marks; symbolic sizes count as the integers that they are here. */
  type: string;
  fallback: string | undefined;
  keywordOnly: boolean;
}

export interface Schema {
  args: SchemaArgument[];
  returns: string;
}

/** Reads a text such as "aten::add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor". */
export function readSchema(text: string): Schema {
  const arrow = text.lastIndexOf(" -> ");
  const [positional = "", keyword = ""] = `${text.slice(text.indexOf("(") + 1, arrow - 1)},`.split("*,");
  // An argument ends at a comma; lists among the defaults contain commas too.
  const read = (part: string, keywordOnly: boolean): SchemaArgument[] =>
    Array.from(part.matchAll(/(\S+) (\w+)(?:=(\[[^\]]*\]|[^,]*))?,/g), ([, type = "", name = "", fallback]) => ({
      name,
      type: type.replace(/\(\w!?\)/, "").replace("SymInt", "int"),
      fallback,
      keywordOnly,
    }));
  return { args: [...read(positional, false), ...read(keyword, true)], returns: text.slice(arrow + 4) };
}

/** One spelling for each default: later libtorchs write `[1, 1]` where the type `int[2]` once had `1`. */
function spelledOut({ type, fallback }: SchemaArgument): string | undefined {
  const plain = fallback?.replace(/-?\d[\d.]*(?:e[+-]?\d+)?/g, (number) => String(Number(number)));
  const length = Number(/\[(\d+)\]/.exec(type)?.[1] ?? 0);
  return length > 0 && plain !== undefined && /^-?\d/.test(plain)
    ? `[${Array<string>(length).fill(plain).join(", ")}]`
    : plain;
}

function accepts(newer: string, older: string): boolean {
  if (newer === older || newer === `${older}?`) return true;
  const [newBase, oldBase] = [newer.replace(/\?$/, ""), older.replace(/\?$/, "")];
  const widened = newBase === "Scalar" && (oldBase === "int" || oldBase === "float");
  return widened && (newer.endsWith("?") || !older.endsWith("?"));
}

function argumentConflict(older: SchemaArgument, newer: SchemaArgument | undefined): string | undefined {
  if (newer?.name !== older.name) return `${older.name} has become ${newer?.name ?? "no argument"}`;
  if (!accepts(newer.type, older.type)) return `${older.name}: ${older.type} has become ${newer.type}`;
  const [before, now] = [spelledOut(older), spelledOut(newer)];
  const mayBeLeftOut = before !== undefined || older.type.endsWith("?");
  // A nullable argument that is left out is None, with a default in the schema or without.
  const same = (before ?? "None") === (now ?? (newer.type.endsWith("?") ? "None" : undefined));
  return mayBeLeftOut && !same ? `${older.name}: the default ${before} has become ${now}` : undefined;
}

/**
 * Why a call written for the schema `older` would fail, or mean something else, under the schema `newer`; undefined when
 * it would not. Calls pass arguments by position, and leave out what has a default.
 */
export function conflict(older: string, newer: string): string | undefined {
  const [before, now] = [readSchema(older), readSchema(newer)];
  const conflicts = before.args.map((argument, position) => argumentConflict(argument, now.args[position]));
  const unmet = now.args.slice(before.args.length).find(({ fallback, type }) => !fallback && !type.endsWith("?"));
  if (unmet) conflicts.push(`${unmet.name} is new and must be given`);
  if (before.returns.trim() !== now.returns.trim()) conflicts.push(`${before.returns} has become ${now.returns}`);
  return conflicts.find((reason) => reason !== undefined);
}
