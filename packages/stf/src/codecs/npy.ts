/** NumPy's files for arrays of numbers (npy; NumPy enhancement proposal 1). */

import { elementCount, inOrderOfC } from "@stf/torch";
import { InputError } from "../common/errors.js";

/** NumPy's codes of the element types, with the size of an element in bytes. */
const types = {
  bool: { code: "b1", size: 1, from: (view: DataView, at: number) => view.getUint8(at) },
  uint8: { code: "u1", size: 1, from: (view: DataView, at: number) => view.getUint8(at) },
  int8: { code: "i1", size: 1, from: (view: DataView, at: number) => view.getInt8(at) },
  uint16: { code: "u2", size: 2, from: (view: DataView, at: number) => view.getUint16(at, true) },
  int16: { code: "i2", size: 2, from: (view: DataView, at: number) => view.getInt16(at, true) },
  uint32: { code: "u4", size: 4, from: (view: DataView, at: number) => view.getUint32(at, true) },
  int32: { code: "i4", size: 4, from: (view: DataView, at: number) => view.getInt32(at, true) },
  uint64: { code: "u8", size: 8, from: (view: DataView, at: number) => Number(view.getBigUint64(at, true)) },
  int64: { code: "i8", size: 8, from: (view: DataView, at: number) => Number(view.getBigInt64(at, true)) },
  float32: { code: "f4", size: 4, from: (view: DataView, at: number) => view.getFloat32(at, true) },
  float64: { code: "f8", size: 8, from: (view: DataView, at: number) => view.getFloat64(at, true) },
} as const;

/** Element types of arrays in files. */
export type NpyType = keyof typeof types;

/** What the start of a file says of its array. */
export interface NpyHeader {
  readonly dtype: NpyType;
  readonly shape: readonly number[];
  /** Bytes of one element. */
  readonly elementSize: number;
  /** Bytes of all elements. */
  readonly dataSize: number;
  /** Where the elements begin. */
  readonly dataStart: number;
  /** Whether the first axis runs fastest, not the last. */
  readonly isFortran: boolean;
  /** Whether the elements have their high bytes first. */
  readonly isBigEndian: boolean;
}

/** An array from a file. */
export interface NpyArray {
  readonly dtype: NpyType;
  readonly shape: readonly number[];
  /** The elements in the order of C, low bytes first. */
  readonly bytes: Uint8Array;
}

const MAGIC = "\x93NUMPY";
/** More than any header of numbers needs, and what NumPy itself reads of untrusted files. */
const LARGEST_HEADER = 10_000;

/** Bytes that are enough for {@link readNpyHeader}. */
export const NPY_HEADER_BYTES = LARGEST_HEADER + 12;

/** Whether bytes begin like an npy file. */
export function isNpy(start: Uint8Array): boolean {
  return Buffer.from(start.subarray(0, MAGIC.length)).toString("latin1") === MAGIC;
}

/** The text of the header, and where the elements begin. */
function headerText(start: Buffer): { text: string; dataStart: number } | undefined {
  const preamble = start[6] === 1 ? 10 : 12;
  if (!isNpy(start) || start.length < preamble || (start[6] as number) > 3) return undefined;
  const length = start[6] === 1 ? start.readUInt16LE(8) : start.readUInt32LE(8);
  const dataStart = preamble + length;
  if (length > LARGEST_HEADER || dataStart > start.length) return undefined;
  return { text: start.toString("latin1", preamble, dataStart), dataStart };
}

/**
 * Reads the start of an npy file, versions 1 to 3.
 *
 * @param start - the first {@link NPY_HEADER_BYTES} bytes, or the whole file if it is shorter
 * @param name - the file, in messages
 * @throws InputError when it is not an npy file, or its elements are not numbers
 */
export function readNpyHeader(start: Uint8Array, name: string): NpyHeader {
  const { text, dataStart } = headerText(Buffer.from(start.buffer, start.byteOffset, start.byteLength)) ?? {};
  const shapeText = /'shape':\s*\(([\dL,\s]*)\)/.exec(text ?? "")?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text ?? "")?.[1];
  if (dataStart === undefined || shapeText === undefined || order === undefined) {
    throw new InputError(`${name} is not an array of NumPy's npy format, or is damaged`);
  }
  const stated = /'descr':\s*'([^']*)'/.exec(text ?? "")?.[1] ?? "a record";
  const [, byteOrder, code] = /^([<>=|]?)([biuf][1248])$/.exec(stated) ?? [];
  const dtype = (Object.keys(types) as NpyType[]).find((type) => types[type].code === code);
  if (!dtype) {
    const objects = /^\|?O/.test(stated) ? "Python objects, which are never loaded" : `elements of the type ${stated}`;
    throw new InputError(`${name} must hold numbers, found ${objects}; save it with dtype uint8, int64 or float64`);
  }
  const shape = (shapeText.match(/\d+/g) ?? []).map(Number);
  const elementSize = types[dtype].size;
  const dataSize = elementSize * elementCount(shape);
  if (!Number.isSafeInteger(dataSize)) throw new InputError(`${name} declares an impossible shape, (${shapeText})`);
  return {
    dtype,
    shape,
    elementSize,
    dataSize,
    dataStart,
    isFortran: order === "True",
    isBigEndian: byteOrder === ">",
  };
}

/** The elements with their bytes in the opposite order. */
function swapped(bytes: Uint8Array, elementSize: number): Uint8Array {
  const copy = Buffer.from(bytes);
  if (elementSize === 2) return copy.swap16();
  if (elementSize === 4) return copy.swap32();
  return elementSize === 8 ? copy.swap64() : copy;
}

/** The message about a file that has fewer or more bytes than its header says. */
export function wrongNpySize(name: string, { shape, dtype, dataSize }: NpyHeader, found: number): InputError {
  return new InputError(
    `${name} is damaged or truncated: its ${dtype} array (${shape.join(", ")}) takes ${dataSize} bytes, found ${found}`,
  );
}

/**
 * Reads an npy file: booleans, integers of up to 64 bits, float32 and float64; in either order of axes and of bytes.
 *
 * @param name - the file, in messages
 * @throws InputError when it is not an npy file, is damaged or truncated, or holds anything but numbers
 */
export function parseNpy(bytes: Uint8Array, name: string): NpyArray {
  const header = readNpyHeader(bytes, name);
  const { dtype, shape, elementSize, dataSize, dataStart } = header;
  const data = bytes.subarray(dataStart);
  if (data.length !== dataSize) throw wrongNpySize(name, header, data.length);
  const ordered = header.isFortran && dataSize > 0 ? inOrderOfC(data, shape, elementSize) : data;
  return { dtype, shape, bytes: header.isBigEndian ? swapped(ordered, elementSize) : ordered };
}

/** The elements as numbers; integers beyond 2^53 are rounded. */
export function npyNumbers({ dtype, bytes }: NpyArray): Float64Array {
  const { size, from } = types[dtype];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: bytes.length / size }, (_, i) => from(view, i * size));
}

/** The start of an npy file with numbers in the order of C, low bytes first; the elements follow it. */
export function npyHeader(dtype: NpyType, shape: readonly number[]): Buffer {
  const { code, size } = types[dtype];
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const text = `{'descr': '${size === 1 ? "|" : "<"}${code}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const preamble = 10;
  // The numbers begin at a multiple of 64.
  const padded = `${text.padEnd(64 * Math.ceil((preamble + text.length + 1) / 64) - preamble - 1)}\n`;
  const header = Buffer.alloc(preamble + padded.length);
  header.write(`${MAGIC}\x01\x00`, "latin1");
  header.writeUInt16LE(padded.length, 8);
  header.write(padded, preamble, "latin1");
  return header;
}
