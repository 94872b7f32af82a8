/** The calls that Python 3 uses to write bytes in the protocols of Python 2, which have no opcode for them. */

import type { PickleCallable, PickleValue } from "./pickle.js";

function bytesOf([text, encoding]: readonly PickleValue[]): PickleValue {
  if (typeof text !== "string") return new Uint8Array();
  return Buffer.from(text, encoding === "utf-8" || encoding === "utf8" ? "utf8" : "latin1");
}

/** The names in a pickle that holds bytes. */
export const bytesNames: ReadonlyMap<string, PickleCallable> = new Map<string, PickleCallable>([
  ["_codecs.encode", { call: bytesOf }],
  ...["builtins", "__builtin__"].flatMap((module): [string, PickleCallable][] => [
    [`${module}.bytes`, { call: bytesOf }],
    [`${module}.bytearray`, { call: ([bytes]) => (bytes instanceof Uint8Array ? bytes : new Uint8Array()) }],
  ]),
]);
