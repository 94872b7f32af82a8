/** Options as data: each field knows how to read itself from text, its default, and its line of help. */

import type { Device } from "@stf/torch";
import { UsageError } from "../run/errors.js";

export interface Field<T> {
  /** The value that `text` stands for. @throws UsageError when it stands for none; `flag` names the option in it. */
  parse(text: string, flag: string): T;
  readonly default: T;
  /** One line: what it does, with unit and range. */
  readonly help: string;
  /** What stands for the value in the help, such as "N". */
  readonly placeholder: string;
  /** Whether the option may be given without a value, which means yes. */
  readonly isSwitch?: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: a table of fields holds fields of many types
export type Fields = Readonly<Record<string, Field<any>>>;

/** The values of a table of fields. */
export type Values<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

interface Description<T> {
  readonly default: T;
  readonly help: string;
}

function fail(flag: string, wanted: string, found: string): never {
  throw new UsageError(`${flag} must be ${wanted}, found "${found}"`);
}

/** Number("") is 0 and Number(" 1 ") is 1; neither is meant. */
function toNumber(text: string): number {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

/** A number in a range; the ends belong to it unless excluded. */
export function number<T extends number | null = number>(
  description: Description<T> & { above?: number; below?: number; min?: number; max?: number; placeholder?: string },
): Field<T | number> {
  const { above, below, min, max } = description;
  const wanted = [
    "a number",
    above !== undefined && `above ${above}`,
    min !== undefined && max !== undefined && `from ${min} to ${max}`,
    min !== undefined && max === undefined && `of at least ${min}`,
    below !== undefined && `below ${below}`,
  ];
  return {
    placeholder: "X",
    ...description,
    parse(text, flag) {
      const value = toNumber(text);
      const inside =
        value > (above ?? Number.NEGATIVE_INFINITY) &&
        value >= (min ?? value) &&
        value <= (max ?? value) &&
        value < (below ?? Number.POSITIVE_INFINITY);
      return inside ? value : fail(flag, wanted.filter(Boolean).join(" "), text);
    },
  };
}

/** A whole number of at least `min`. */
export function integer<T extends number | null = number>(
  description: Description<T> & { min: number; placeholder?: string },
): Field<T | number> {
  return {
    placeholder: "N",
    ...description,
    parse(text, flag) {
      const value = toNumber(text);
      const fits = Number.isSafeInteger(value) && value >= description.min;
      return fits ? value : fail(flag, `a whole number of at least ${description.min}`, text);
    },
  };
}

/** A whole number of at least `min`, or one word. */
export function integerOr<W extends string>(
  word: W,
  description: Description<number | W> & { min: number },
): Field<number | W> {
  return {
    placeholder: `N|${word}`,
    ...description,
    parse(text, flag) {
      if (text === word) return word;
      const value = toNumber(text);
      const fits = Number.isSafeInteger(value) && value >= description.min;
      return fits ? value : fail(flag, `a whole number of at least ${description.min}, or "${word}"`, text);
    },
  };
}

const truths: Readonly<Record<string, boolean>> = {
  "1": true,
  true: true,
  yes: true,
  on: true,
  "0": false,
  false: false,
  no: false,
  off: false,
};

/** Yes or no, written as in the published tools: 1, true, yes, on, or 0, false, no, off. */
export function flag(description: Description<boolean>): Field<boolean> {
  return {
    placeholder: "BOOL",
    isSwitch: true,
    ...description,
    parse: (text, name) => truths[text.toLowerCase()] ?? fail(name, "1 or 0 (true or false, yes or no)", text),
  };
}

/** One of a few words. */
export function choice<W extends string, D extends W | null = W>(
  words: readonly W[],
  description: Description<D>,
): Field<D | W> {
  return {
    placeholder: words.join("|"),
    ...description,
    parse: (text, name) => words.find((word) => word === text) ?? fail(name, `one of ${words.join(", ")}`, text),
  };
}

/** Any text but the empty one. */
export function text<T extends string | null = string>(
  description: Description<T> & { placeholder?: string },
): Field<T | string> {
  return {
    placeholder: "TEXT",
    ...description,
    parse: (value, name) => (value === "" ? fail(name, "given a value", value) : value),
  };
}

/** A device's name: cpu, cuda (the first), or cuda:1. */
export function device(description: Description<Device>): Field<Device> {
  return {
    placeholder: "cpu|cuda[:N]",
    ...description,
    parse: (value, name) =>
      /^(cpu|cuda(:\d+)?)$/.test(value) ? (value as Device) : fail(name, "cpu, cuda, or cuda:N", value),
  };
}

/** A range of numbers, "MIN,MAX", or one word. */
export function rangeOr<W extends string>(
  word: W,
  description: Description<readonly [number, number] | W>,
): Field<readonly [number, number] | W> {
  return {
    placeholder: `${word}|MIN,MAX`,
    ...description,
    parse(text, flag) {
      if (text === word) return word;
      const [first, last, ...more] = text.split(",").map(toNumber);
      if (first === undefined || last === undefined || more.length > 0 || !(first >= 0 && last >= first)) {
        fail(flag, `two numbers with 0 <= MIN <= MAX, such as 0.5,80, or "${word}"`, text);
      }
      return [first, last];
    },
  };
}

/** A name for a folder: no path. */
export function folderName(description: Description<string | null>): Field<string | null> {
  return {
    placeholder: "NAME",
    ...description,
    parse: (value, name) =>
      /^[^/\\]+$/.test(value) && !/^\.+$/.test(value) ? value : fail(name, "a name without slashes", value),
  };
}

/** The longest list that is made of a range. */
const MOST_INTEGERS = 10_000_000;

/** Whole numbers and inclusive ranges: "1,2,5-10". */
export function integers<T extends readonly number[] | null = readonly number[]>(
  description: Description<T> & { min: number; max?: number },
): Field<T | readonly number[]> {
  const { min, max = Number.MAX_SAFE_INTEGER } = description;
  const range = max < Number.MAX_SAFE_INTEGER ? `from ${min} to ${max}` : `of at least ${min}`;
  return {
    placeholder: "N,N-N,...",
    ...description,
    parse(value, name) {
      const list: number[] = [];
      for (const part of value.split(",")) {
        const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
        const first = Number(match?.[1]);
        const last = Number(match?.[2] ?? match?.[1]);
        if (!match || !(first >= min && last >= first && last <= max)) {
          fail(name, `a list of whole numbers ${range} and ranges, such as 1,2,5-10`, value);
        }
        if (last - first >= MOST_INTEGERS) fail(name, `a list of at most ${MOST_INTEGERS} numbers`, value);
        for (let i = first; i <= last; i++) list.push(i);
      }
      return list;
    },
  };
}

/** The option's name on the command line: batchGpu is --batch-gpu; names with an underscore or capitals first stay. */
export function flagOf(key: string): string {
  return key.includes("_") ? `--${key}` : `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * The values of the options that were given: as text, or as true, for a switch without a value.
 *
 * @throws UsageError for the first that makes no sense.
 */
export function parse<F extends Fields>(
  fields: F,
  given: Readonly<Record<string, string | true | undefined>>,
): Partial<Values<F>> {
  const entries = Object.entries(fields)
    .map(([key, field]) => [key, given[key], field] as const)
    .filter(([, text]) => text !== undefined)
    .map(([key, text, field]) => [key, field.parse(String(text), flagOf(key))]);
  return Object.fromEntries(entries) as Partial<Values<F>>;
}

/** All values: defaults, overruled by each of `layers` in turn. */
export function resolve<F extends Fields>(fields: F, ...layers: Partial<Values<F>>[]): Values<F> {
  const defaults = Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.default]));
  return Object.freeze(Object.assign(defaults, ...layers)) as Values<F>;
}
