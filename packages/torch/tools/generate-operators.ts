/**
 * Writes src/operators.generated.ts: a typed method or function for every operator of the list, from the schemas of the
 * installed libtorch. Run by `npm run generate:operators`; the result is checked in, and a test compares the two.
 */

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { native } from "../src/native.js";
import { operatorList } from "./operator-list.js";

interface Argument {
  readonly name: string;
  /** The schema's type without alias marks, such as "Tensor?" or "int[2]". */
  readonly type: string;
  readonly fallback: string | undefined;
  readonly keywordOnly: boolean;
  readonly written: boolean;
}

interface Schema {
  /** "aten::add.Tensor" */
  readonly name: string;
  readonly text: string;
  readonly args: readonly Argument[];
  readonly returns: readonly { type: string; written: boolean }[];
}

/** Splits at commas outside brackets. */
function splitList(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    const char = text[i];
    if (char === "(" || char === "[") depth++;
    else if (char === ")" || char === "]") depth--;
    else if (i === text.length || (char === "," && depth === 0)) {
      const part = text.slice(start, i).trim();
      if (part) parts.push(part);
      start = i + 1;
    }
  }
  return parts;
}

const withoutAlias = (type: string): string => type.replace(/\([a-z*][^)]*\)/g, "");

export function parseSchema(text: string): Schema {
  const match = /^([\w:]+(?:\.\w+)?)\((.*)\) -> (.*)$/.exec(text);
  if (!match) throw new Error(`this schema is not understood: ${text}`);
  const [, name = "", argumentText = "", returnText = ""] = match;
  let keywordOnly = false;
  const args: Argument[] = [];
  for (const part of splitList(argumentText)) {
    if (part === "*") {
      keywordOnly = true;
      continue;
    }
    const pieces = /^(\S+(?: -> \*\)\S*)?)\s+(\w+)(?:=(.*))?$/.exec(part);
    if (!pieces) throw new Error(`this argument is not understood: ${part} in ${text}`);
    const [, type = "", argument = "", fallback] = pieces;
    args.push({ name: argument, type: withoutAlias(type), fallback, keywordOnly, written: /!/.test(type) });
  }
  const returned = returnText.startsWith("(") ? splitList(returnText.slice(1, -1)) : [returnText];
  const returns = returned.map((part) => ({
    type: withoutAlias(part).split(" ")[0] ?? "",
    written: part.includes("!"),
  }));
  return { name, text, args, returns };
}

const camelCase = (name: string): string =>
  name.replace(/^_+/, "").replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** Reserved words of JavaScript. */
const reserved: Record<string, string> = {
  from: "low",
  to: "high",
  with: "values",
  in: "input",
  default: "fallback",
  function: "callback",
};
const localName = (name: string): string => reserved[name] ?? camelCase(name);

/** The TypeScript type for a schema type, and how a value is passed on; undefined for types that are never passed. */
function typeScriptType(type: string): { type: string; pass: (value: string) => string } | undefined {
  const optional = type.endsWith("?");
  const base = optional ? type.slice(0, -1) : type;
  const plain = (name: string) => ({ type: optional ? `${name} | null` : name, pass: (value: string) => value });
  if (base === "Tensor") {
    return optional
      ? { type: "Tensor | null", pass: (value) => `${value}?.handle` }
      : { type: "Tensor", pass: (value) => `${value}.handle` };
  }
  if (base === "Tensor[]") return { type: "readonly Tensor[]", pass: (value) => `handlesOf(${value})` };
  if (base === "Tensor?[]") return { type: "readonly (Tensor | null)[]", pass: (value) => `handlesOf(${value})` };
  if (base === "Scalar") return plain("Scalar");
  if (base === "Scalar[]" || base === "float[]") return plain("readonly number[]");
  if (base === "int" || base === "SymInt" || base === "float") return plain("number");
  if (base === "bool") return plain("boolean");
  if (base === "str") return plain("string");
  if (/^(Sym)?[iI]nt\[\d+\]$/.test(base)) return plain("number | readonly number[]");
  if (/^(Sym)?[iI]nt\[\]$/.test(base)) return plain("readonly number[]");
  if (base === "bool[]") return plain("readonly boolean[]");
  if (base === "ScalarType") return { type: "DType", pass: (value) => `dtypeCode(${value})` };
  if (base === "MemoryFormat") return { type: "MemoryFormat", pass: (value) => `memoryFormatCode(${value})` };
  if (base === "Device") return { type: "Device", pass: (value) => value };
  if (base === "Generator") return { type: "Generator | null", pass: (value) => `${value}?.id` };
  if (base === "Layout") return undefined;
  throw new Error(`arguments of type ${type} have no counterpart in TypeScript`);
}

/** Arguments that no wrapper offers: sparse layouts and pinned memory are outside this package. */
const isOffered = (argument: Argument): boolean =>
  typeScriptType(argument.type) !== undefined && argument.name !== "pin_memory" && argument.name !== "layout";

/** An argument may be left out when it has a default, or may be null and nothing that must be given comes after it. */
const isOptional = (argument: Argument, position: number, group: readonly Argument[]): boolean =>
  argument.fallback !== undefined ||
  (argument.type.endsWith("?") && (argument.keywordOnly || group.slice(position + 1).every(isOptional)));

const constantName = (schema: Schema): string =>
  schema.name.replace("aten::", "").replace(/\W/g, "_").replace(/^_+/, "").toUpperCase();

const constantOf = new Map<string, string>();
function constant(schema: Schema): string {
  const known = constantOf.get(schema.name);
  if (known) return known;
  let name = constantName(schema);
  while ([...constantOf.values()].includes(name)) name += "_";
  constantOf.set(schema.name, name);
  return name;
}

interface Wrapper {
  readonly name: string;
  /** Its heading in the list. */
  readonly category: string;
  readonly overloads: readonly Schema[];
}

const isMethod = (schema: Schema): boolean => schema.args[0]?.name === "self" && schema.args[0].type === "Tensor";

function resultOf(schema: Schema, self: string): { type: string; wrap: (call: string) => string } {
  const kept = schema.returns.filter((value) => !value.written);
  if (schema.returns.some((value) => value.written))
    return { type: "this", wrap: (call) => `${call};\n    return ${self}` };
  if (kept.length === 0) return { type: "void", wrap: (call) => call };
  if (kept.length > 1) {
    if (!kept.every((value) => value.type === "Tensor"))
      throw new Error(`the results of ${schema.text} are not understood`);
    return {
      type: `[${kept.map(() => "Tensor").join(", ")}]`,
      wrap: (call) => `return wrapAll(${call}) as [${kept.map(() => "Tensor").join(", ")}]`,
    };
  }
  const type = kept[0]?.type;
  if (type === "Tensor") return { type: "Tensor", wrap: (call) => `return wrap(${call})` };
  if (type === "Tensor[]") return { type: "Tensor[]", wrap: (call) => `return wrapAll(${call})` };
  if (type === "bool") return { type: "boolean", wrap: (call) => `return ${call}` };
  if (type === "Scalar" || type === "int" || type === "float")
    return { type: "number", wrap: (call) => `return ${call}` };
  throw new Error(`the result of ${schema.text} is not understood`);
}

/** Trailing arguments that are never offered need not be passed. */
function passedValues(schema: Schema, argumentNames: ReadonlyMap<string, string>): string[] {
  const values = schema.args.map((argument) => {
    const value = argumentNames.get(argument.name);
    return value === undefined || !isOffered(argument)
      ? "undefined"
      : (typeScriptType(argument.type)?.pass(value) ?? "undefined");
  });
  while (values.at(-1) === "undefined") values.pop();
  return values;
}

function emit({ name, category, overloads }: Wrapper): string {
  const [main] = overloads;
  if (!main) throw new Error(`${name} has no overload`);
  const method = isMethod(main);
  const rest = method ? main.args.slice(1) : main.args;
  const offered = rest.filter(isOffered);
  // Positional arguments after an optional one would have to be optional too; the schemas already obey that.
  const positional = offered.filter((argument) => !argument.keywordOnly);
  const keyword = offered.filter((argument) => argument.keywordOnly);
  const names = new Map<string, string>();
  if (method) names.set("self", "this");

  const parameters: string[] = [];
  for (const [position, argument] of positional.entries()) {
    const local = localName(argument.name);
    names.set(argument.name, local);
    const types = overloads.map((schema) => {
      const same =
        schema.args.find((other) => other.name === argument.name) ?? schema.args[main.args.indexOf(argument)];
      return same ? typeScriptType(same.type)?.type : undefined;
    });
    const type = [...new Set(types.filter((value) => value !== undefined))].join(" | ");
    const optional = isOptional(argument, position, positional);
    parameters.push(optional ? `${local}?: ${type}` : `${local}: ${type}`);
  }
  if (keyword.length > 0) {
    const fields = keyword.map((argument, position) => {
      const local = localName(argument.name);
      names.set(argument.name, `options.${local}`);
      const optional = isOptional(argument, position, keyword);
      return `${local}${optional ? "?" : ""}: ${typeScriptType(argument.type)?.type}${optional ? " | undefined" : ""}`;
    });
    const everyOptional = keyword.every(isOptional);
    parameters.push(`options: { ${fields.join("; ")} }${everyOptional ? " = {}" : ""}`);
  }

  const result = resultOf(main, "this");
  const callOf = (schema: Schema): string => {
    const local = new Map(names);
    // An overload may use another name for the same argument; then the position decides.
    schema.args.forEach((argument, i) => {
      if (local.has(argument.name)) return;
      const twin = main.args[i];
      const value = twin && local.get(twin.name);
      if (value) local.set(argument.name, value);
    });
    return `call(${[constant(schema), ...passedValues(schema, local)].join(", ")})`;
  };

  let body: string;
  const [, second] = overloads;
  if (second) {
    // The first argument whose type differs decides the overload.
    const at = main.args.findIndex((argument, i) => second.args[i] && second.args[i].type !== argument.type);
    const deciding = main.args[at];
    if (!deciding || overloads.length > 2) throw new Error(`the overloads of ${name} cannot be told apart`);
    const value = names.get(deciding.name);
    const tensorFirst = deciding.type === "Tensor";
    const guard = `${value} instanceof Operators`;
    const branch = (schema: Schema): string => result.wrap(callOf(schema));
    const [whenTensor, whenScalar] = tensorFirst ? [main, second] : [second, main];
    body = `    if (${guard}) {\n      ${branch(whenTensor).replaceAll("\n", "\n  ")};\n    }\n    ${branch(whenScalar)};`;
  } else {
    body = `    ${result.wrap(callOf(main))};`;
  }
  const doc = `  /** ${overloads.map((schema) => `\`${schema.text}\``).join(" or ")} @category ${category} */`;
  const type = result.type;
  const functionType = type === "this" ? "void" : type;
  if (method) return `${doc}\n  ${name}(${parameters.join(", ")}): ${type} {\n${body}\n  }\n`;
  const text = `${doc}\nexport function ${name}(${parameters.join(", ")}): ${functionType} {\n${body.replace(/;\n {4}return this/, "")}\n}\n`;
  return text.replace(/^ {2}/gm, "");
}

export function generate(schemaTexts: readonly string[]): string {
  const schemas = new Map<string, Schema>();
  for (const text of schemaTexts) {
    if (text.startsWith("aten::")) schemas.set(text.slice("aten::".length, text.indexOf("(")), parseSchemaLazily(text));
  }
  const find = (name: string): Schema | undefined => {
    const found = schemas.get(name);
    return found && parseSchema(found.text);
  };
  constantOf.clear();
  const wrappers: Wrapper[] = [];
  let category = "";
  for (const line of operatorList.split("\n").map((text) => text.trim())) {
    if (line.startsWith("#")) category = line.slice(1).trim();
    if (!line || line.startsWith("#")) continue;
    const [left = "", right] = line.split(/\s*=\s*/);
    const names = (right ?? left).split(/\s+/);
    const base = names[0]?.split(".")[0] ?? "";
    const wrapper = camelCase(right ? left : base);
    const overloads = names.map(find);
    const inPlace = names.map((name) => find(name.replace(/^([^.]+)/, "$1_")));
    if (overloads.some((schema) => schema === undefined) && inPlace.some((schema) => schema === undefined)) {
      throw new Error(`libtorch ${native.environment().version} has no operator ${names.join(" or ")}`);
    }
    // Some operators are useful only in place, and exist or are listed only in that form (`fill_`).
    if (overloads.every((schema) => schema !== undefined))
      wrappers.push({ name: wrapper, category, overloads: overloads.filter((schema) => schema !== undefined) });
    if (inPlace.every((schema) => schema !== undefined))
      wrappers.push({ name: `${wrapper}_`, category, overloads: inPlace.filter((schema) => schema !== undefined) });
  }
  const methods: string[] = [];
  const functions: string[] = [];
  for (const wrapper of wrappers) {
    const text = emit(wrapper);
    (wrapper.overloads[0] && isMethod(wrapper.overloads[0]) ? methods : functions).push(text);
  }
  const constants = [...constantOf].map(([name, identifier]) => `const ${identifier} = operator("${name}");`);
  return `// Written by tools/generate-operators.ts from the schemas of libtorch ${native.environment().version}. Do not edit.

import { call, handlesOf, operator, wrap, wrapAll } from "./dispatch.js";
import { type Device, type DType, dtypeCode, type MemoryFormat, memoryFormatCode, type Scalar } from "./dtype.js";
import type { Handle } from "./native.js";
import type { Generator } from "./random.js";
import type { Tensor } from "./tensor.js";

${constants.join("\n")}

/** The operators whose first argument is a tensor. The doc line of each is libtorch's schema. */
export abstract class Operators {
  /** The addon's number for the tensor. */
  abstract readonly handle: Handle;

${methods.join("\n")}}

${functions.join("\n")}`;
}

/** Most of the 3,000 schemas are never parsed. */
function parseSchemaLazily(text: string): Schema {
  return { name: "", text, args: [], returns: [] };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const target = new URL("../../src/operators.generated.ts", import.meta.url);
  writeFileSync(target, generate(native.schemas()));
  console.log(`wrote ${fileURLToPath(target)}`);
}
