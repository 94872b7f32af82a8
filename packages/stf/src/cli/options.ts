/** Fields as commander options. */

import { type Command, Option } from "commander";
import { type Field, type Fields, flagOf } from "../config/fields.js";

/** Longer lists of words leave no space for the help on a terminal of 80 columns. */
const LONGEST_PLACEHOLDER = 20;

const isLong = ({ placeholder }: Field<unknown>): boolean => placeholder.length > LONGEST_PLACEHOLDER;

/** The words that an option accepts, if its placeholder does not show them. */
const words = (field: Field<unknown>): string =>
  isLong(field) ? `; one of ${field.placeholder.split("|").join(", ")}` : "";

function shown(field: Field<unknown>): string {
  const { default: value } = field;
  if (value === null || field.help.includes("(default")) return "";
  if (typeof value === "boolean") return ` (default ${value ? 1 : 0})`;
  if (value === Number.POSITIVE_INFINITY) return " (default: no limit)";
  return ` (default ${Array.isArray(value) ? value.join(",") : String(value)})`;
}

/** Headings of the help, and the fields under each. Fields without a heading appear with the command's own options. */
export type Groups<F extends Fields> = Readonly<Record<string, readonly (keyof F)[]>>;

/** An option with a key of its own, which several spellings may share. */
export class KeyedOption extends Option {
  readonly #key: string;

  constructor(key: string, flags: string, help?: string) {
    super(flags, help);
    this.#key = key;
  }

  override attributeName(): string {
    return this.#key;
  }
}

/** Declares an option for every field, in the order of the groups; values arrive as text under the fields' keys. */
export function addFields<F extends Fields>(command: Command, fields: F, groups: Groups<F> = {}): Command {
  const headingOf = (key: string) => Object.keys(groups).find((name) => groups[name]?.includes(key));
  const grouped: readonly (keyof F)[] = Object.values(groups).flat();
  for (const key of [...Object.keys(fields).filter((own) => headingOf(own) === undefined), ...grouped] as string[]) {
    const field = fields[key] as Field<unknown>;
    const placeholder = isLong(field) ? "NAME" : field.placeholder;
    const value = field.isSwitch ? `[${placeholder}]` : `<${placeholder}>`;
    const option = new KeyedOption(key, `${flagOf(key)} ${value}`, field.help + words(field) + shown(field));
    const heading = headingOf(key);
    command.addOption(heading === undefined ? option : option.helpGroup(heading));
  }
  return command;
}
