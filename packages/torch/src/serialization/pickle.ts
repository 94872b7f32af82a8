/**
 * Reads Python pickles of protocols 0 to 5 and runs nothing. Opcodes are a closed list. Classes and functions are those
 * that the caller names; every other one is refused, or becomes an inert record that keeps the arguments of its call.
 */

import { FileFormatError } from "../errors.js";

/**
 * A value of a pickle. Lists and tuples become arrays, dictionaries maps; strings of Python 2 are bytes, and are returned as bytes,
 * except as keys. Integers beyond 53 bits are bigints. The same object may occur in many places, and inside itself.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleObject
  | PickleCallable;

/** An object that a pickle may build, by setting its state. */
export interface PickleObject {
  /** Receives what the pickle would have set as attributes. */
  setState(state: PickleValue): void;
}

/** A class or function that a pickle may name, and the result of calling it here. */
export interface PickleCallable {
  /** The result of a call in the pickle. */
  call(values: readonly PickleValue[], keywords?: ReadonlyMap<PickleValue, PickleValue>): PickleValue;
}

/** A class or function that is not known here. Calling it creates a record of the call. */
export class InertClass implements PickleCallable {
  /** "module.name" */
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** A record of the call; nothing runs. */
  call(values: readonly PickleValue[]): InertObject {
    return new InertObject(this.name, values);
  }
}

/** The record of a call of an unknown class or function: its name, its arguments, and nothing else. */
export class InertObject implements PickleObject {
  /** "module.name" of what was called. */
  readonly name: string;
  /** Its arguments. */
  readonly values: readonly PickleValue[];
  /** What the pickle would have set as attributes. */
  state: PickleValue = null;
  /** What the pickle would have put into it as into a dictionary. */
  readonly entries = new Map<PickleValue, PickleValue>();
  /** What the pickle would have put into it as into a list. */
  readonly elements: PickleValue[] = [];

  constructor(name: string, values: readonly PickleValue[]) {
    this.name = name;
    this.values = values;
  }

  /** Keeps what the pickle would have set as attributes. */
  setState(state: PickleValue): void {
    this.state = state;
  }
}

/** What a pickle may name. */
export interface PickleOptions {
  /** The classes and functions that the pickle may name, by "module.name". */
  readonly names: ReadonlyMap<string, PickleCallable | PickleObject>;
  /** Whether every other name becomes an inert record instead of being refused. */
  readonly keepUnknown?: boolean;
  /** The object that a persistent id refers to; without this function, persistent ids are refused. */
  readonly persistent?: (id: PickleValue) => PickleValue;
}

/** The text of a string of either kind. */
export function pickleText(value: PickleValue | undefined): string {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length).toString("latin1");
  throw new FileFormatError("a string was expected in the pickle");
}

/** Names that do not belong in data. Nothing is ever run; a file with these names was made to do harm elsewhere. */
const HARMFUL =
  /^(os|posix|nt|subprocess|sys|shutil|socket|runpy|pty|importlib|ctypes|webbrowser)\.|^(__builtin__|builtins)\.(eval|exec|execfile|compile|open|__import__|breakpoint|input)$/;

const LINE_END = 0x0a;
const STOP = 0x2e;
/** No program stores longer integers on purpose. */
const LONGEST_INTEGER = 256;

const isCallable = (value: PickleValue | undefined): value is PickleCallable =>
  typeof value === "object" && value !== null && "call" in value;

const isObject = (value: PickleValue): value is PickleObject =>
  typeof value === "object" && value !== null && "setState" in value;

/** Keys that Python 2 wrote as bytes are found as text. */
const keyOf = (value: PickleValue): PickleValue => (value instanceof Uint8Array ? pickleText(value) : value);

function wholeNumber(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** The text in quotes that Python 2's `repr` gives for a string. */
function unquoted(line: string): Uint8Array {
  const body = /^(['"])(.*)\1$/s.exec(line)?.[2];
  if (body === undefined) throw new FileFormatError("the pickle has a string without quotes");
  const named: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };
  const text = body.replace(/\\(?:x([0-9a-f]{2})|(.))/gis, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (named[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(text, "latin1");
}

/** Consecutive pickles in the same bytes. */
export class PickleStream {
  readonly #bytes: Buffer;
  readonly #options: PickleOptions;
  readonly #memo = new Map<number, PickleValue>();
  readonly #marks: number[] = [];
  readonly #stack: PickleValue[] = [];
  #position = 0;

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#options = options;
  }

  /** Where the next pickle begins. */
  get position(): number {
    return this.#position;
  }

  /** @throws FileFormatError saying what is damaged or refused */
  next(): PickleValue {
    this.#memo.clear();
    this.#marks.length = 0;
    this.#stack.length = 0;
    for (let opcode = this.#number(1); opcode !== STOP; opcode = this.#number(1)) this.#execute(opcode);
    return this.#pop();
  }

  #execute(opcode: number): void {
    const code = String.fromCharCode(opcode);
    const value = this.#literal(code) ?? this.#container(code) ?? this.#made(code);
    if (value !== undefined) this.#stack.push(value);
    else if (code === "N") this.#stack.push(null);
    else if (!this.#act(code)) {
      throw new FileFormatError(
        `opcode 0x${opcode.toString(16)} at byte ${this.#position - 1} of the pickle is refused`,
      );
    }
  }

  /** Numbers and strings. Undefined for other opcodes, here and below. */
  #literal(code: string): PickleValue | undefined {
    switch (code) {
      case "\x88":
        return true;
      case "\x89":
        return false;
      case "K":
        return this.#number(1);
      case "M":
        return this.#number(2);
      case "J":
        return this.#number(4) | 0;
      case "I": // INT, and the booleans of protocol 0
        return this.#integerLine({ "00": false, "01": true });
      case "L": // LONG
        return this.#integerLine({});
      case "\x8a": // LONG1
        return this.#long(this.#number(1));
      case "\x8b": // LONG4
        return this.#long(this.#number(4));
      case "F": // FLOAT
        return Number(this.#line().replace(/inf$/, "Infinity"));
      case "G": // BINFLOAT
        return this.#take(8).readDoubleBE();
      case "S": // STRING
        return unquoted(this.#line());
      case "U": // SHORT_BINSTRING
      case "C": // SHORT_BINBYTES
        return this.#take(this.#number(1));
      case "T": // BINSTRING
      case "B": // BINBYTES
        return this.#take(this.#number(4));
      case "\x8e": // BINBYTES8
      case "\x96": // BYTEARRAY8
        return this.#take(this.#number(8));
      case "V": // UNICODE
        return this.#line().replace(/\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}/g, (code) => {
          const point = Number.parseInt(code.slice(2), 16);
          return point > 0x10ffff ? code : String.fromCodePoint(point);
        });
      case "\x8c": // SHORT_BINUNICODE
        return this.#take(this.#number(1)).toString();
      case "X": // BINUNICODE
        return this.#take(this.#number(4)).toString();
      case "\x8d": // BINUNICODE8
        return this.#take(this.#number(8)).toString();
      default:
        return undefined;
    }
  }

  #container(code: string): PickleValue | undefined {
    switch (code) {
      case ")":
      case "]":
        return [];
      case "}":
        return new Map();
      case "\x8f": // EMPTY_SET
        return new Set();
      case "\x85":
      case "\x86":
      case "\x87": // TUPLE1 to TUPLE3
        return this.#popMany(code.charCodeAt(0) - 0x84);
      case "t": // TUPLE
      case "l": // LIST
        return this.#popToMark();
      case "d": {
        const map = new Map<PickleValue, PickleValue>();
        this.#setItems(map, this.#popToMark());
        return map;
      }
      case "\x91": // FROZENSET
        return new Set(this.#popToMark());
      default:
        return undefined;
    }
  }

  /** A value that was stored before, is outside the pickle, or results from a call. */
  #made(code: string): PickleValue | undefined {
    switch (code) {
      case "2": // DUP
        return this.#top();
      case "g":
        return this.#remembered(Number(this.#line()));
      case "h":
        return this.#remembered(this.#number(1));
      case "j":
        return this.#remembered(this.#number(4));
      case "P":
        return this.#persistent(this.#line());
      case "Q":
        return this.#persistent(this.#pop());
      case "c": // GLOBAL
        return this.#named(this.#line(), this.#line());
      case "\x93": {
        const [module, name] = this.#popMany(2);
        return this.#named(pickleText(module), pickleText(name));
      }
      case "R": // REDUCE
      case "\x81": // NEWOBJ
        return this.#call(...(this.#popMany(2) as [PickleValue, PickleValue]));
      case "\x92": // NEWOBJ_EX
        return this.#call(...(this.#popMany(3) as [PickleValue, PickleValue, PickleValue]));
      case "i": {
        const called = this.#named(this.#line(), this.#line());
        return this.#call(called, this.#popToMark());
      }
      case "o": {
        const [called = null, ...values] = this.#popToMark();
        return this.#call(called, values);
      }
      default:
        return undefined;
    }
  }

  /** Executes an opcode that acts on existing values; false for other opcodes. */
  #act(code: string): boolean {
    switch (code) {
      case "\x80": // PROTO
        this.#take(1);
        return true;
      case "\x95": // FRAME
        this.#take(8);
        return true;
      case "(":
        this.#marks.push(this.#stack.length);
        return true;
      case "0": // POP
        if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
        else this.#pop();
        return true;
      case "1": // POP_MARK
        this.#popToMark();
        return true;
      case "p":
        this.#memo.set(Number(this.#line()), this.#top());
        return true;
      case "q":
        this.#memo.set(this.#number(1), this.#top());
        return true;
      case "r":
        this.#memo.set(this.#number(4), this.#top());
        return true;
      case "\x94": // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        return true;
      case "a":
        this.#append([this.#pop()]);
        return true;
      case "e":
        this.#append(this.#popToMark());
        return true;
      case "s": {
        const items = this.#popMany(2);
        this.#setItems(this.#top(), items);
        return true;
      }
      case "u": {
        const items = this.#popToMark();
        this.#setItems(this.#top(), items);
        return true;
      }
      case "\x90": {
        const elements = this.#popToMark();
        const set = this.#top();
        if (!(set instanceof Set)) throw new FileFormatError("the pickle adds to a value that is not a set");
        for (const element of elements) set.add(keyOf(element));
        return true;
      }
      case "b":
        this.#build();
        return true;
      default:
        return false;
    }
  }

  #take(length: number): Buffer {
    const start = this.#position;
    if (start + length > this.#bytes.length) throw new FileFormatError("the pickle ends too early");
    this.#position += length;
    return this.#bytes.subarray(start, this.#position);
  }

  /** An unsigned number of `length` bytes, the lowest first. */
  #number(length: number): number {
    const bytes = this.#take(length);
    let value = 0;
    for (let i = length - 1; i >= 0; i--) value = 256 * value + (bytes[i] as number);
    return value;
  }

  /** A whole number in two's complement, the lowest byte first. */
  #long(length: number): number | bigint {
    const bytes = this.#take(length);
    if (length > LONGEST_INTEGER) throw new FileFormatError(`the pickle has an integer of ${length} bytes`);
    if (length === 0) return 0;
    const value = BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
    return wholeNumber(BigInt.asIntN(8 * length, value));
  }

  #integerLine(words: Readonly<Record<string, boolean>>): PickleValue {
    const line = this.#line();
    const word = words[line];
    if (word !== undefined) return word;
    const digits = /^(-?\d{1,600})L?$/.exec(line)?.[1];
    if (digits === undefined) throw new FileFormatError("the pickle has a damaged integer");
    return wholeNumber(BigInt(digits));
  }

  #line(): string {
    const end = this.#bytes.indexOf(LINE_END, this.#position);
    if (end < 0) throw new FileFormatError("the pickle ends too early");
    const line = this.#take(end - this.#position);
    this.#take(1);
    return pickleText(line);
  }

  /** Where the values above the last mark begin. */
  get #floor(): number {
    return this.#marks.at(-1) ?? 0;
  }

  #top(): PickleValue {
    if (this.#stack.length <= this.#floor) throw new FileFormatError("the pickle takes a value where there is none");
    return this.#stack.at(-1) as PickleValue;
  }

  #pop(): PickleValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PickleValue[] {
    const first = this.#stack.length - count;
    if (first < this.#floor) throw new FileFormatError("the pickle takes a value where there is none");
    return this.#stack.splice(first, count);
  }

  #popToMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new FileFormatError("the pickle closes what it has not opened");
    return this.#stack.splice(mark);
  }

  #remembered(key: number): PickleValue {
    const value = this.#memo.get(key);
    if (value === undefined) throw new FileFormatError("the pickle refers to a value that it has not stored");
    return value;
  }

  #append(values: readonly PickleValue[]): void {
    const top = this.#top();
    const list = top instanceof InertObject ? top.elements : top;
    if (!Array.isArray(list)) throw new FileFormatError("the pickle appends to a value that is not a list");
    for (const value of values) list.push(value);
  }

  #setItems(target: PickleValue, keysAndValues: readonly PickleValue[]): void {
    const map = target instanceof InertObject ? target.entries : target;
    if (!(map instanceof Map) || keysAndValues.length % 2 !== 0) {
      throw new FileFormatError("the pickle has an invalid dictionary");
    }
    for (let i = 0; i < keysAndValues.length; i += 2) {
      map.set(keyOf(keysAndValues[i] as PickleValue), keysAndValues[i + 1] as PickleValue);
    }
  }

  #named(module: string, name: string): PickleValue {
    const path = `${module}.${name}`;
    const found = this.#options.names.get(path);
    if (found) return found;
    if (!this.#options.keepUnknown) {
      throw new FileFormatError(`the pickle names ${JSON.stringify(path)}, which is refused`);
    }
    if (HARMFUL.test(path)) {
      throw new FileFormatError(
        `the pickle names ${JSON.stringify(path)}, which no data needs: it was made to run commands; nothing was run`,
      );
    }
    return new InertClass(path);
  }

  #persistent(id: PickleValue): PickleValue {
    const { persistent } = this.#options;
    if (!persistent) throw new FileFormatError("the pickle refers to an object outside itself");
    return persistent(id);
  }

  #call(called: PickleValue, values: PickleValue, keywords?: PickleValue): PickleValue {
    if (!isCallable(called) || !Array.isArray(values))
      throw new FileFormatError("the pickle calls a value that is not a function");
    return called.call(values, keywords instanceof Map ? keywords : undefined);
  }

  #build(): void {
    const state = this.#pop();
    const object = this.#top();
    // Ordered dictionaries have attributes besides their entries, such as the layout version of a state dict.
    if (object instanceof Map) return;
    if (!isObject(object)) throw new FileFormatError("the pickle sets the state of a value that has none");
    object.setState(state);
  }
}

/**
 * The value of a pickle.
 *
 * @throws FileFormatError saying what is damaged or refused
 */
export function readPickle(bytes: Uint8Array, options: PickleOptions): PickleValue {
  return new PickleStream(bytes, options).next();
}
