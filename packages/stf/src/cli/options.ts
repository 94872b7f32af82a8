/** Fields as commander options. */

import { type Command, Option } from "commander";
import { type Field, type Fields, flagOf } from "../config/fields.js";

function shown(field: Field<unknown>): string {
  const { default: value } = field;
  if (value === null || field.help.includes("(default")) return "";
  if (typeof value === "boolean") return ` (default ${value ? 1 : 0})`;
  if (value === Number.POSITIVE_INFINITY) return " (default: no limit)";
  return ` (default ${Array.isArray(value) ? value.join(",") : String(value)})`;
}

/** Declares an option for every field; values arrive as text under the fields' keys. */
export function addFields(command: Command, fields: Fields): Command {
  for (const [key, field] of Object.entries(fields)) {
    const value = field.isSwitch ? `[${field.placeholder}]` : `<${field.placeholder}>`;
    command.addOption(new Option(`${flagOf(key)} ${value}`, field.help + shown(field)));
  }
  return command;
}
