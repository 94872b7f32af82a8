/**
 * Reads Python pickles of protocol 2 and runs nothing: opcodes, classes and functions are closed lists, everything else is
 * refused. Strings of Python 2 are bytes, and come as bytes.
 */

/** A value of a pickle. Lists and tuples become arrays, dictionaries maps whose keys are text. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | PickleValue[]
  | Map<string, PickleValue>
  | PickleObject
  | PickleCallable;

/** An object that a pickle may build: it takes its state. */
export interface PickleObject {
  setState(state: PickleValue): void;
}

/** A class or function that a pickle may name, and what calling it gives here. */
export interface PickleCallable {
  call(values: readonly PickleValue[]): PickleValue;
}

/** The text of a string of either kind. */
export function pickleText(value: PickleValue | undefined): string {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length).toString("latin1");
  throw new Error("a string was expected in the pickle");
}

const LINE_END = 0x0a;
const STOP = 0x2e;

class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #names: ReadonlyMap<string, PickleCallable>;
  readonly #memo = new Map<number, PickleValue>();
  readonly #marks: number[] = [];
  readonly #stack: PickleValue[] = [];
  #position = 0;

  constructor(bytes: Uint8Array, names: ReadonlyMap<string, PickleCallable>) {
    this.#bytes = bytes;
    this.#names = names;
  }

  read(): PickleValue {
    for (let opcode = this.#number(1); opcode !== STOP; opcode = this.#number(1)) this.#execute(opcode);
    return this.#pop();
  }

  #execute(opcode: number): void {
    const code = String.fromCharCode(opcode);
    const value = this.#value(code);
    if (value !== undefined) this.#stack.push(value);
    else if (!this.#act(code)) {
      throw new Error(`opcode 0x${opcode.toString(16)} at byte ${this.#position - 1} of the pickle is refused`);
    }
  }

  /** What an opcode puts on the stack; undefined when it does something else. */
  #value(code: string): PickleValue | undefined {
    switch (code) {
      case "N":
        return null;
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
      case "U": // SHORT_BINSTRING
        return this.#take(this.#number(1));
      case "T": // BINSTRING
        return this.#take(this.#number(4));
      case "X": // BINUNICODE
        return new TextDecoder().decode(this.#take(this.#number(4)));
      case ")":
      case "]":
        return [];
      case "}":
        return new Map();
      case "\x85":
      case "\x86":
      case "\x87": // TUPLE1 to TUPLE3
        return this.#popMany(code.charCodeAt(0) - 0x84);
      case "t":
        return this.#popToMark();
      case "h":
        return this.#remembered(this.#number(1));
      case "j":
        return this.#remembered(this.#number(4));
      case "c": // GLOBAL
        return this.#named(`${this.#line()}.${this.#line()}`);
      case "R":
        return this.#reduce();
      default:
        return undefined;
    }
  }

  /** Does what an opcode says about values that are there; false when it is none of these. */
  #act(code: string): boolean {
    switch (code) {
      case "\x80": // PROTO
        this.#take(1);
        return true;
      case "(":
        this.#marks.push(this.#stack.length);
        return true;
      case "q":
        this.#memo.set(this.#number(1), this.#top());
        return true;
      case "r":
        this.#memo.set(this.#number(4), this.#top());
        return true;
      case "a":
        this.#append([this.#pop()]);
        return true;
      case "e":
        this.#append(this.#popToMark());
        return true;
      case "s":
        this.#setItems(this.#popMany(2));
        return true;
      case "u":
        this.#setItems(this.#popToMark());
        return true;
      case "b":
        this.#build();
        return true;
      default:
        return false;
    }
  }

  #take(length: number): Uint8Array {
    const start = this.#position;
    if (start + length > this.#bytes.length) throw new Error("the pickle ends too early");
    this.#position += length;
    return this.#bytes.subarray(start, this.#position);
  }

  /** An unsigned number of so many bytes, the lowest first. */
  #number(length: number): number {
    return this.#take(length).reduceRight((value, byte) => 256 * value + byte, 0);
  }

  #line(): string {
    const end = this.#bytes.indexOf(LINE_END, this.#position);
    const line = this.#take(Math.max(0, end - this.#position));
    this.#take(1);
    return pickleText(line);
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined) throw new Error("the pickle takes a value where there is none");
    return value;
  }

  #pop(): PickleValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PickleValue[] {
    if (this.#stack.length < count) throw new Error("the pickle takes a value where there is none");
    return this.#stack.splice(this.#stack.length - count, count);
  }

  #popToMark(): PickleValue[] {
    return this.#stack.splice(this.#marks.pop() ?? 0);
  }

  #remembered(key: number): PickleValue {
    const value = this.#memo.get(key);
    if (value === undefined) throw new Error("the pickle refers to a value that it has not stored");
    return value;
  }

  #append(values: readonly PickleValue[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw new Error("the pickle appends to what is no list");
    for (const value of values) list.push(value);
  }

  #setItems(keysAndValues: readonly PickleValue[]): void {
    const map = this.#top();
    if (!(map instanceof Map) || keysAndValues.length % 2 !== 0) throw new Error("the pickle has a wrong dictionary");
    for (let i = 0; i < keysAndValues.length; i += 2) {
      map.set(pickleText(keysAndValues[i]), keysAndValues[i + 1] as PickleValue);
    }
  }

  #named(name: string): PickleCallable {
    const found = this.#names.get(name);
    if (!found) throw new Error(`the pickle names ${JSON.stringify(name)}, which is refused`);
    return found;
  }

  #reduce(): PickleValue {
    const [callable, values] = this.#popMany(2);
    if (!isCallable(callable) || !Array.isArray(values)) throw new Error("the pickle calls what is no function");
    return callable.call(values);
  }

  #build(): void {
    const state = this.#pop();
    const object = this.#top();
    if (!isObject(object)) throw new Error("the pickle gives a state to what takes none");
    object.setState(state);
  }
}

function isCallable(value: PickleValue | undefined): value is PickleCallable {
  return typeof value === "object" && value !== null && "call" in value;
}

function isObject(value: PickleValue): value is PickleObject {
  return typeof value === "object" && value !== null && "setState" in value;
}

/**
 * The value of a pickle.
 *
 * @param names - the classes and functions that it may name, by "module.name"
 * @throws Error saying what is damaged or refused
 */
export function readPickle(bytes: Uint8Array, names: ReadonlyMap<string, PickleCallable>): PickleValue {
  return new Unpickler(bytes, names).read();
}
