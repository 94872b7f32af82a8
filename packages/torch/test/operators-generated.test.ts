/**
 * The generated wrappers against the schemas in their doc lines, and those against the schemas of the libtorch at hand.
 * The wrappers' text is read by the TypeScript compiler and the schemas by a parser of the tests, so that a mistake of the
 * generator shows; the calls they make are recorded instead of carried out.
 */

import { readFileSync } from "node:fs";
import ts from "typescript";
import { describe, expect, test, vi } from "vitest";
import { native } from "../src/native.js";
import * as generated from "../src/operators.generated.js";
import { generate } from "../tools/generate-operators.js";
import { conflict, readSchema, type Schema, type SchemaArgument } from "./schemas.js";

const recorded = vi.hoisted((): { operator: string; values: unknown[] }[] => []);

vi.mock("../src/dispatch.js", () => ({
  operator: (name: string) => name,
  call: (operator: string, ...values: unknown[]) => recorded.push({ operator, values }),
  wrap: (value: unknown) => value,
  wrapAll: (value: unknown) => value,
  handlesOf: (tensors: readonly { handle: unknown }[]) => tensors.map(({ handle }) => handle),
}));

interface Parameter {
  name: string;
  types: string[];
  optional: boolean;
}

interface Wrapper {
  name: string;
  isMethod: boolean;
  positional: Parameter[];
  keyword: Parameter[];
  result: string;
}

const sourcePath = new URL("../src/operators.generated.ts", import.meta.url);
const sourceText = readFileSync(sourcePath, "utf8");

function readWrappers(): Wrapper[] {
  const source = ts.createSourceFile("operators.generated.ts", sourceText, ts.ScriptTarget.ES2022, true);
  const parameter = (name: string, type: ts.TypeNode, optional: boolean): Parameter => ({
    name,
    types: type
      .getText()
      .split(/ \| (?!null\))/) // not inside (Tensor | null)[]
      .filter((text) => text !== "undefined"),
    optional,
  });
  const wrappers: Wrapper[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isClassDeclaration(node)) node.members.forEach(visit);
    if (!ts.isFunctionDeclaration(node) && !ts.isMethodDeclaration(node)) return;
    const options = node.parameters.find((entry) => entry.name.getText() === "options")?.type;
    wrappers.push({
      name: node.name!.getText(),
      isMethod: ts.isMethodDeclaration(node),
      positional: node.parameters
        .filter((entry) => entry.type !== options)
        .map((entry) => parameter(entry.name.getText(), entry.type!, entry.questionToken !== undefined)),
      keyword: (options && ts.isTypeLiteralNode(options) ? [...options.members] : [])
        .filter(ts.isPropertySignature)
        .map((entry) => parameter(entry.name.getText(), entry.type!, entry.questionToken !== undefined)),
      result: node.type!.getText(),
    });
  };
  source.statements.forEach(visit);
  return wrappers;
}

const byOperator = (texts: readonly string[]): Map<string, string> =>
  new Map(texts.map((text) => [text.slice(0, text.indexOf("(")), text]));

/** The schemas that the wrappers were written for, and those of the libtorch at hand. */
const documented = byOperator(Array.from(sourceText.matchAll(/`(aten::[^`]+)`/g), ([, text = ""]) => text));
const present = byOperator(native.schemas());

const schemaOf = (operator: string): Schema => readSchema(documented.get(operator)!);

const renamed: Record<string, string> = { from: "low", to: "high" };
const camelCase = (name: string): string =>
  renamed[name] ?? name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

function typesFor(schemaType: string): string[] {
  const base = schemaType.replace("?", "");
  const table: Record<string, string> = {
    int: "number",
    float: "number",
    bool: "boolean",
    str: "string",
    ScalarType: "DType",
    "Tensor[]": "readonly Tensor[]",
    "Tensor?[]": "readonly (Tensor | null)[]",
    "int[]": "readonly number[]",
  };
  if (table[schemaType]) return [table[schemaType]];
  const plain = /^int\[\d\]$/.test(base) ? ["number", "readonly number[]"] : [table[base] ?? base];
  // Leaving one of these out says all that null could say.
  const isSetting = ["ScalarType", "MemoryFormat", "Device"].includes(base);
  return schemaType.endsWith("?") && !isSetting ? [...plain, "null"] : plain;
}

class Recorder extends generated.Operators {
  constructor(readonly handle: never) {
    super();
  }
}
const tensorNamed = (name: string): Recorder => new Recorder(name as never);

/** A recognisable argument for a parameter, and what must arrive in the addon for it. */
function marker({ name, types }: Parameter, asTensor: boolean): { given: unknown; arrives: unknown } {
  if (types.some((type) => type.startsWith("readonly Tensor") || type.startsWith("readonly (Tensor")))
    return { given: [tensorNamed(name)], arrives: [name] };
  if (types.includes("Tensor") && (asTensor || !types.some((type) => type === "Scalar" || type === "number")))
    return { given: tensorNamed(name), arrives: name };
  if (types.includes("DType")) return { given: "float64", arrives: 7 };
  if (types.includes("MemoryFormat")) return { given: "channelsLast", arrives: 2 };
  if (types.includes("Generator")) return { given: { id: name }, arrives: name };
  return { given: name, arrives: name };
}

/** Calls a wrapper with markers, and returns what it passes on. */
function record(
  wrapper: Wrapper,
  asTensor: boolean,
): { operator: string; values: unknown[]; arrivals: Map<string, unknown> } {
  const markers = [...wrapper.positional, ...wrapper.keyword].map((entry) => ({
    ...entry,
    ...marker(entry, asTensor),
  }));
  const given = new Map(markers.map((entry) => [entry.name, entry.given]));
  const args = wrapper.positional.map(({ name }) => given.get(name));
  if (wrapper.keyword.length > 0)
    args.push(Object.fromEntries(wrapper.keyword.map(({ name }) => [name, given.get(name)])));
  const self = wrapper.isMethod ? tensorNamed("self") : generated;
  recorded.length = 0;
  (self as unknown as Record<string, (...args: unknown[]) => unknown>)[wrapper.name]!(...args);
  expect(recorded).toHaveLength(1);
  const arrivals = new Map(markers.map((entry) => [entry.name, entry.arrives]));
  if (wrapper.isMethod) arrivals.set("self", "self");
  return { ...recorded[0]!, arrivals };
}

const isUnsupported = ({ name }: SchemaArgument): boolean => name === "layout" || name === "pin_memory";

const wrappers = readWrappers();

describe("generated wrappers", () => {
  test("are documented with the schema of every operator that they call", () => {
    const names = Array.from(sourceText.matchAll(/operator\("([^"]+)"\)/g), ([, name = ""]) => name);
    expect(names.length).toBeGreaterThan(300);
    expect(new Set(documented.keys())).toEqual(new Set(names));
    expect(wrappers.length).toBeGreaterThan(300);
  });

  test("are what the generator writes today", () => {
    const withoutVersion = (text: string): string => text.slice(text.indexOf("\n"));
    // The schemas of later libtorchs differ, and what wrappers leave out of them is no mistake of the generator.
    const writtenFor = native.environment().version.startsWith("1.13.") ? native.schemas() : [...documented.values()];
    expect(withoutVersion(generate(writtenFor))).toBe(withoutVersion(sourceText));
  });

  test("call what this libtorch has, by position, with its defaults", () => {
    const conflicts = Array.from(documented, ([operator, text]) => {
      const found = present.get(operator);
      const reason = found === undefined ? "there is no such operator" : conflict(text, found);
      return reason && `${operator}: ${reason}`;
    });
    expect(conflicts.filter((reason) => reason !== undefined)).toEqual([]);
  });

  test("pass every argument to its place", () => {
    for (const wrapper of wrappers) {
      const calls = [record(wrapper, true), record(wrapper, false)];
      for (const { operator, values, arrivals } of calls) {
        const { args } = schemaOf(operator);
        expect(values.length).toBeLessThanOrEqual(args.length);
        for (const [position, argument] of args.entries()) {
          // Overloads may name the same argument differently; the wrapper has one of the names.
          const candidates = calls.map((other) => camelCase(schemaOf(other.operator).args[position]?.name ?? ""));
          const name = [camelCase(argument.name), ...candidates].find((candidate) => arrivals.has(candidate));
          if (!isUnsupported(argument)) expect(name, `${operator}, ${argument.name}`).toBeDefined();
          expect(values[position], `${operator}, ${argument.name}`).toEqual(arrivals.get(name ?? ""));
        }
      }
    }
  });

  test("have the schemas' types, and optional parameters where the schemas have defaults", () => {
    for (const wrapper of wrappers) {
      const schemas = [...new Set([true, false].map((asTensor) => record(wrapper, asTensor).operator))].map(schemaOf);
      const [main] = schemas;
      const expected = main!.args.slice(wrapper.isMethod ? 1 : 0).filter((argument) => !isUnsupported(argument));
      const found = [...wrapper.positional, ...wrapper.keyword];
      expect(
        found.map(({ name }) => name),
        wrapper.name,
      ).toEqual(expected.map(({ name }) => camelCase(name)));
      expect(wrapper.keyword.length, wrapper.name).toBe(expected.filter(({ keywordOnly }) => keywordOnly).length);
      for (const [i, argument] of expected.entries()) {
        const where = `${wrapper.name}, ${argument.name}`;
        const position = main!.args.indexOf(argument);
        const twins = schemas.map(({ args }) => args.find(({ name }) => name === argument.name) ?? args[position]!);
        expect(new Set(found[i]!.types), where).toEqual(new Set(twins.flatMap(({ type }) => typesFor(type))));
        // Nullable arguments without a default may be either.
        if (argument.fallback !== undefined) expect(found[i]!.optional, where).toBe(true);
        else if (!argument.type.endsWith("?")) expect(found[i]!.optional, where).toBe(false);
      }
    }
  });

  test("return what the schemas say", () => {
    for (const wrapper of wrappers) {
      const { returns } = schemaOf(record(wrapper, true).operator);
      const results = returns.replace(/\(\w!?\)/g, "").match(/(Tensor|bool)(\[\])?/g) ?? ["void"];
      const names = results.map((type) => (type === "bool" ? "boolean" : type));
      const plain = names.length > 1 ? `[${names.join(", ")}]` : names[0];
      const written = wrapper.isMethod ? "this" : "void";
      const expected = returns.includes("!") ? written : plain;
      expect(wrapper.result, wrapper.name).toBe(expected);
    }
  });
});

describe("a schema of a later libtorch", () => {
  const written = "aten::f(Tensor self, int[2] stride=1, *, int? correction, float eps=1e-05) -> Tensor";
  const argumentsOf = (text: string): string => `aten::f(Tensor self, ${text}) -> Tensor`;

  test.each([
    ["the same", written],
    [
      "symbolic sizes, and a default spelled out",
      argumentsOf("SymInt[2] stride=[1, 1], *, int? correction, float eps=0.00001"),
    ],
    [
      "a wider type, and None where nothing had to be",
      argumentsOf("int[2] stride=1, *, Scalar? correction=None, float? eps=1e-05"),
    ],
    [
      "optional arguments at the end",
      argumentsOf("int[2] stride=1, *, int? correction, float eps=1e-05, int[]? dim=None, bool fast=False"),
    ],
  ])("may have %s", (_, later) => {
    expect(conflict(written, later)).toBeUndefined();
  });

  test.each([
    [
      "another default",
      "int[2] stride=1, *, int? correction, float eps=1e-06",
      "eps: the default 0.00001 has become 0.000001",
    ],
    [
      "another default in one place",
      "int[2] stride=[1, 2], *, int? correction, float eps=1e-05",
      "stride: the default [1, 1]",
    ],
    [
      "a default for what meant None",
      "int[2] stride=1, *, int? correction=1, float eps=1e-05",
      "correction: the default",
    ],
    ["no default any more", "int[2] stride, *, int? correction, float eps=1e-05", "has become undefined"],
    [
      "an argument in between",
      "int[2] stride=1, bool flag=False, *, int? correction, float eps=1e-05",
      "correction has become flag",
    ],
    ["one argument less", "int[2] stride=1, *, int? correction", "eps has become no argument"],
    ["a narrower type", "int[2] stride=1, *, int correction, float eps=1e-05", "int? has become int"],
    ["another type", "int[3] stride=1, *, int? correction, float eps=1e-05", "int[2] has become int[3]"],
    ["an argument that must be given", "int[2] stride=1, *, int? correction, float eps=1e-05, int axis", "axis is new"],
  ])("may not have %s", (_, later, reason) => {
    expect(conflict(written, argumentsOf(later))).toContain(reason);
  });

  test("may not return something else", () => {
    expect(conflict(written, written.replace("-> Tensor", "-> Tensor[]"))).toBe("Tensor has become Tensor[]");
  });
});
