/**
 * Options as data: one schema for the command line, for files that hold options, and for programs. Each field knows its
 * valid values, how to parse text, its default, and its line of help.
 */

import type { Device } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import { didYouMean, mostSimilar } from "../common/similar.js";

/** One option. */
export interface Field<T> {
  /** What a value must be, as a phrase that follows "must be". */
  readonly wanted: string;
  /** Whether a value, from any source, is valid for this field. */
  accepts(value: unknown): value is T;
  /** The value of a text; something that {@link accepts} rejects if the text has none. */
  read(text: string): unknown;
  /** The value when the option is not given. */
  readonly default: T;
  /** One line: its effect, with unit and range. */
  readonly help: string;
  /** Placeholder for the value in the help, such as "N". */
  readonly placeholder: string;
  /** Whether the option may be given without a value, meaning yes. */
  readonly isSwitch?: boolean;
  /** The words that it accepts, if it accepts only words. */
  readonly words?: readonly string[];
}

/** A table of options by name. */
// biome-ignore lint/suspicious/noExplicitAny: a table of fields holds fields of many types
export type Fields = Readonly<Record<string, Field<any>>>;

/** The values of a table of fields. */
export type Values<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

interface Description<T> {
  readonly default: T;
  readonly help: string;
}

/** A field that accepts null, for "not given", if that is its default. */
function field<T>(
  description: Description<T> & Pick<Field<T>, "placeholder" | "isSwitch" | "words">,
  wanted: string,
  accepts: (value: unknown) => boolean,
  read: (text: string) => unknown,
): Field<T> {
  const isOwn = (value: unknown): value is T => (value === null ? description.default === null : accepts(value));
  return { ...description, wanted, accepts: isOwn, read };
}

/** Number("") is 0 and Number(" 1 ") is 1; both are rejected. Infinity is written as in the published tools. */
function toNumber(text: string): number {
  const infinite = /^([-+]?)inf(inity)?$/i.exec(text);
  if (infinite) return infinite[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

const isWhole = (value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): value is number =>
  Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;

/** A number in a range; `min` and `max` are inclusive, `above` and `below` exclusive. */
export function number<T extends number | null = number>({
  above,
  below,
  min,
  max,
  ...description
}: Description<T> & {
  above?: number;
  below?: number;
  min?: number;
  max?: number;
  placeholder?: string;
}): Field<T | number> {
  const wanted = [
    "a number",
    above !== undefined && `above ${above}`,
    min !== undefined && max !== undefined && `from ${min} to ${max}`,
    min !== undefined && max === undefined && `of at least ${min}`,
    below !== undefined && `${above === undefined ? "" : "and "}below ${below}`,
  ];
  const isInside = (value: unknown): boolean =>
    typeof value === "number" &&
    value > (above ?? Number.NEGATIVE_INFINITY) &&
    value >= (min ?? value) &&
    value <= (max ?? value) &&
    // A limit may be infinite by default.
    (value < (below ?? Number.POSITIVE_INFINITY) || value === description.default);
  return field({ placeholder: "X", ...description }, wanted.filter(Boolean).join(" "), isInside, toNumber);
}

/** A whole number of at least `min`. */
export function integer<T extends number | null = number>({
  min,
  max = Number.MAX_SAFE_INTEGER,
  ...description
}: Description<T> & { min: number; max?: number; placeholder?: string }): Field<T | number> {
  const wanted = `a whole number ${max < Number.MAX_SAFE_INTEGER ? `from ${min} to ${max}` : `of at least ${min}`}`;
  return field({ placeholder: "N", ...description }, wanted, (value) => isWhole(value, min, max), toNumber);
}

/** A whole number of at least `min`, or one word. */
export function integerOr<W extends string>(
  word: W,
  { min, ...description }: Description<number | W> & { min: number },
): Field<number | W> {
  return field(
    { placeholder: `N|${word}`, ...description },
    `a whole number of at least ${min}, or "${word}"`,
    (value) => value === word || isWhole(value, min),
    (text) => (text === word ? word : toNumber(text)),
  );
}

/** A number above 0, or one of a few words. */
export function numberOr<W extends string, T extends number | W = number | W>(
  words: readonly W[],
  description: Description<T>,
): Field<T | number | W> {
  const isWord = (value: unknown): boolean => words.some((word) => word === value);
  return field<T | number | W>(
    { placeholder: ["X", ...words].join("|"), ...description },
    `a number above 0, or ${words.map((word) => `"${word}"`).join(" or ")}`,
    (value) => isWord(value) || (typeof value === "number" && value > 0 && value < Number.POSITIVE_INFINITY),
    (text) => (isWord(text) ? text : toNumber(text)),
  );
}

/** As in the published tools. */
const truths: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...["1", "true", "t", "yes", "y", "on"].map((word) => [word, true]),
  ...["0", "false", "f", "no", "n", "off"].map((word) => [word, false]),
]);

/** Yes or no, written as in the published tools: 1, true, t, yes, y, on, or 0, false, f, no, n, off. */
export function flag(description: Description<boolean>): Field<boolean> {
  return field(
    { placeholder: "BOOL", isSwitch: true, ...description },
    "1 or 0 (true or false, yes or no)",
    (value) => typeof value === "boolean",
    (text) => truths[text.toLowerCase()],
  );
}

/** One of a few words. */
export function choice<W extends string, D extends W | null = W>(
  words: readonly W[],
  description: Description<D>,
): Field<D | W> {
  const isWord = (value: unknown): boolean => words.some((word) => word === value);
  return field<D | W>(
    { placeholder: words.join("|"), words, ...description },
    `one of ${words.join(", ")}`,
    isWord,
    (text) => text,
  );
}

/** Any text that is not empty. */
export function text<T extends string | null = string>(
  description: Description<T> & { placeholder?: string },
): Field<T | string> {
  const isText = (value: unknown): boolean => typeof value === "string" && value !== "";
  return field<T | string>({ placeholder: "TEXT", ...description }, "given a value", isText, (value) => value);
}

/** A share of something, above 0 and below 1, or a path. */
export function shareOrPath(description: Description<null>): Field<number | string | null> {
  return field<number | string | null>(
    { placeholder: "PATH|SHARE", ...description },
    "a path, or a share above 0 and below 1, such as 0.05",
    (value) => (typeof value === "number" ? value > 0 && value < 1 : typeof value === "string" && value !== ""),
    (value) => {
      const share = toNumber(value);
      return Number.isNaN(share) ? value : share;
    },
  );
}

/** Texts, separated by commas on a command line. */
export function texts<T extends readonly string[] | null = readonly string[]>(
  description: Description<T> & { placeholder?: string },
): Field<T | readonly string[]> {
  return field<T | readonly string[]>(
    { placeholder: "TEXT,...", ...description },
    "one or more values, separated by commas",
    (value) =>
      Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string" && item !== ""),
    (value) => value.split(","),
  );
}

/** One or more of a few words, separated by commas on a command line. */
export function choices<W extends string, T extends readonly W[] | null = readonly W[]>(
  words: readonly W[],
  { aliases = {}, ...description }: Description<T> & { readonly aliases?: Readonly<Record<string, W>> },
): Field<T | readonly W[]> {
  const isWord = (value: unknown): boolean => words.some((word) => word === value);
  return field<T | readonly W[]>(
    { placeholder: words.join("|"), ...description },
    `one or more of ${words.join(", ")}, separated by commas`,
    (value) => Array.isArray(value) && value.length > 0 && value.every(isWord),
    (value) => value.split(",").map((word) => aliases[word] ?? word),
  );
}

/** A class: its number, or its name. A text of digits is resolved by the network's class names. */
export function classLabel(description: Description<null>): Field<number | string | null> {
  return field<number | string | null>(
    { placeholder: "NAME|N", ...description },
    "a class's name, or its number from 0 on",
    (value) => (typeof value === "string" ? value !== "" && !/^-\d+$/.test(value) : isWhole(value, 0)),
    (value) => value,
  );
}

/** A device's name: cpu, cuda (the first), or cuda:1. */
export function device(description: Description<Device>): Field<Device> {
  return field(
    { placeholder: "cpu|cuda[:N]", ...description },
    "cpu, cuda, or cuda:N",
    (value) => typeof value === "string" && /^(cpu|cuda(:\d+)?)$/.test(value),
    (value) => value,
  );
}

/** A range of numbers, "MIN,MAX", or one word. */
export function rangeOr<W extends string>(
  word: W,
  description: Description<readonly [number, number] | W>,
): Field<readonly [number, number] | W> {
  const isRange = (value: unknown): boolean =>
    Array.isArray(value) && value.length === 2 && value[0] >= 0 && value[1] >= value[0];
  return field(
    { placeholder: `${word}|MIN,MAX`, ...description },
    `two numbers with 0 <= MIN <= MAX, such as 0.5,80, or "${word}"`,
    (value) => value === word || isRange(value),
    // Files of options are JSON, which has no infinity.
    (text) => (text === word ? word : text.split(",").map((part) => Math.min(toNumber(part), Number.MAX_VALUE))),
  );
}

const LARGEST_SIDE = 2 ** 14;

/** Width and height of images, "WxH"; one number is both. */
export function imageSize(
  description: Description<readonly [number, number] | null>,
): Field<readonly [number, number] | null> {
  return field<readonly [number, number] | null>(
    { placeholder: "WxH", ...description },
    `a width and a height in pixels, such as 64x64, at most ${LARGEST_SIDE}`,
    (value) => Array.isArray(value) && value.length === 2 && value.every((side) => isWhole(side, 1, LARGEST_SIDE)),
    (value) => {
      const sides = /^(\d+)(?:[x,](\d+))?$/i.exec(value.trim());
      return sides ? [Number(sides[1]), Number(sides[2] ?? sides[1])] : undefined;
    },
  );
}

/** File systems allow 255 bytes; the other parts of a run's name need some of them. */
const LONGEST_NAME = 120;

/** A folder name or part of one, not a path. */
export function folderName(description: Description<string | null> & { placeholder?: string }): Field<string | null> {
  const isName = (value: unknown): boolean =>
    typeof value === "string" &&
    /^[^/\\\p{Cc}]+$/u.test(value) &&
    !/^\.+$/.test(value) &&
    Buffer.byteLength(value) <= LONGEST_NAME;
  const wanted = `a name without slashes, of at most ${LONGEST_NAME} bytes`;
  return field({ placeholder: "NAME", ...description }, wanted, isName, (value) => value);
}

/** The longest list that a range may expand to. */
const MOST_INTEGERS = 10_000_000;

/** The numbers of "1,2,5-10"; undefined if it is not such a list, or too long. */
function readIntegers(text: string): number[] | undefined {
  const list: number[] = [];
  for (const part of text.split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || !(last >= first) || !Number.isSafeInteger(last) || last - first >= MOST_INTEGERS) return undefined;
    for (let i = first; i <= last; i++) list.push(i);
  }
  return list;
}

/** Whole numbers and inclusive ranges: "1,2,5-10". */
export function integers<T extends readonly number[] | null = readonly number[]>({
  min,
  max = Number.MAX_SAFE_INTEGER,
  ...description
}: Description<T> & { min: number; max?: number }): Field<T | readonly number[]> {
  const range = max < Number.MAX_SAFE_INTEGER ? `from ${min} to ${max}` : `of at least ${min}`;
  return field<T | readonly number[]>(
    { placeholder: "N,N-N,...", ...description },
    `a list of whole numbers ${range} and ranges, such as 1,2,5-10, ${MOST_INTEGERS} at most`,
    (value) => Array.isArray(value) && value.length > 0 && value.every((item) => isWhole(item, min, max)),
    readIntegers,
  );
}

/** Numbers from `min` to `max`, separated by commas on a command line. */
export function numbers<T extends readonly number[] | null = readonly number[]>({
  min,
  max,
  ...description
}: Description<T> & { min: number; max: number }): Field<T | readonly number[]> {
  return field<T | readonly number[]>(
    { placeholder: "X,X,...", ...description },
    `one or more numbers from ${min} to ${max}, separated by commas`,
    (value) =>
      Array.isArray(value) &&
      value.length > 0 &&
      value.every((item) => typeof item === "number" && item >= min && item <= max),
    (value) => value.split(",").map((item) => toNumber(item.trim())),
  );
}

/** Whole numbers of at least `min`, or one word, in any order: "1,16,all". */
export function integersOr<W extends string>(
  word: W,
  { min, ...description }: Description<readonly (number | W)[]> & { min: number },
): Field<readonly (number | W)[]> {
  return field(
    { placeholder: "N,N,...", ...description },
    `a list of whole numbers of at least ${min}, and "${word}"`,
    (value) => Array.isArray(value) && value.length > 0 && value.every((item) => item === word || isWhole(item, min)),
    (text) => text.split(",").map((item) => (item.trim() === word ? word : toNumber(item.trim()))),
  );
}

/**
 * The option's name on the command line: batchGpu is --batch-gpu, and pMean, which begins with a symbol, is --P-mean; names with an
 * underscore stay unchanged.
 */
export function flagOf(key: string): string {
  if (key.includes("_")) return `--${key}`;
  const words = key.replace(/(?!^)[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return `--${words.replace(/^[a-z](?=-)/, (letter) => letter.toUpperCase())}`;
}

/**
 * The values of options given on a command line: text, or true for a switch without a value.
 *
 * @throws UsageError for the first invalid one.
 */
export function parse<F extends Fields>(
  fields: F,
  given: Readonly<Record<string, string | true | undefined>>,
): Partial<Values<F>> {
  const values: Record<string, unknown> = {};
  for (const [key, own] of Object.entries(fields)) {
    if (given[key] === undefined) continue;
    const text = String(given[key]);
    const value = own.read(text);
    if (value === null || !own.accepts(value)) {
      throw new UsageError(`${flagOf(key)} must be ${own.wanted}, found "${text}"${didYouMean(text, own.words ?? [])}`);
    }
    values[key] = value;
  }
  return values as Partial<Values<F>>;
}

/**
 * The same for values of unknown type, from a program or a file.
 *
 * @param where - where they come from, for the message
 * @throws UsageError for a name that is not an option, and for the first invalid value.
 */
export function checkValues<F extends Fields>(fields: F, given: unknown, where: string): Partial<Values<F>> {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new UsageError(`${where} must be an object with options, found ${JSON.stringify(given)}`);
  }
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [key, value] of entries) {
    const own = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (!own) {
      const meant = mostSimilar(key, Object.keys(fields));
      throw new UsageError(
        `${where} must hold known options only, found '${key}'${meant === undefined ? "" : `; did you mean '${meant}'?`}`,
      );
    }
    if (!own.accepts(value)) {
      throw new UsageError(
        `'${key}' in ${where} must be ${own.wanted}, found ${JSON.stringify(value)}${didYouMean(value, own.words ?? [])}`,
      );
    }
  }
  return Object.fromEntries(entries) as Partial<Values<F>>;
}

/** All values: defaults, overridden by each of `layers` in turn. */
export function resolve<F extends Fields>(fields: F, ...layers: Partial<Values<F>>[]): Values<F> {
  const defaults = Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.default]));
  return Object.freeze(Object.assign(defaults, ...layers)) as Values<F>;
}
