/** Protocols: how a number or a set of images was obtained. A number without one cannot be compared with anything. */

/** A value that JSON can hold. */
export type Fact = string | number | boolean | null | readonly (string | number)[];

/** Facts by name. */
export type Facts = Readonly<Record<string, Fact>>;

/**
 * How a number or a set of images was obtained. Numbers of different subjects are compared if the method is the same in
 * every fact.
 */
export interface Protocol {
  /** What the number is about, such as a network with the SHA-256 of its file. */
  readonly subject: Facts;
  /** How it was obtained, by part: "images", "drawing", "features", "reference", and the like. */
  readonly method: Readonly<Record<string, Facts>>;
}

/** A fact that differs between two methods. */
export interface Difference {
  /** Part and name of the fact: "features.sha256". */
  readonly name: string;
  /** Undefined where the fact is missing. */
  readonly first: Fact | undefined;
  /** Undefined where the fact is missing. */
  readonly second: Fact | undefined;
}

/** A protocol as JSON stores it: infinity, for instance, as null. */
export const stored = (protocol: Protocol): Protocol => JSON.parse(JSON.stringify(protocol)) as Protocol;

/** Every fact that a part of a method holds, by part and name. */
function factsOf({ method }: Protocol): Map<string, Fact> {
  return new Map(
    Object.entries(method).flatMap(([part, facts]) =>
      Object.entries(facts).map(([name, fact]): [string, Fact] => [`${part}.${name}`, fact]),
    ),
  );
}

/**
 * The facts in which the methods of two protocols differ, in the order of the first; none if their numbers compare. Facts
 * are compared as JSON stores them.
 */
export function methodDifferences(one: Protocol, other: Protocol): readonly Difference[] {
  const [first, second] = [factsOf(stored(one)), factsOf(stored(other))];
  return [...new Set([...first.keys(), ...second.keys()])].flatMap((name) => {
    const difference = { name, first: first.get(name), second: second.get(name) };
    return JSON.stringify(difference.first) === JSON.stringify(difference.second) ? [] : [difference];
  });
}

/** "features.sha256: "ab12" and "cd34"", a difference in words. */
export function formatDifference({ name, first, second }: Difference): string {
  const shown = (fact: Fact | undefined): string => (fact === undefined ? "not stated" : JSON.stringify(fact));
  return `${name}: ${shown(first)} and ${shown(second)}`;
}

/** Whether a value, from a file, has the structure of a protocol. */
export function isProtocol(value: unknown): value is Protocol {
  const isRecord = (part: unknown): part is Record<string, unknown> =>
    typeof part === "object" && part !== null && !Array.isArray(part);
  const isFact = (fact: unknown): boolean =>
    fact === null || ["string", "number", "boolean"].includes(typeof fact) || Array.isArray(fact);
  const areFacts = (part: unknown): boolean => isRecord(part) && Object.values(part).every(isFact);
  return (
    isRecord(value) &&
    areFacts(value["subject"]) &&
    isRecord(value["method"]) &&
    Object.values(value["method"]).every(areFacts)
  );
}
