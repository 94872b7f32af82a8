/** The safetensors format: a JSON header with the position of each tensor, then the bytes. Nothing in it is executed. */

import { writeSync } from "node:fs";
import { type DType, dtypeCode, elementSize } from "../dtype.js";
import { FileFormatError } from "../errors.js";
import { native } from "../native.js";
import { elementCount, formatShape } from "../shape.js";
import { Tensor } from "../tensor.js";
import { writeAll, writeFileAtomically } from "./atomic-file.js";
import { type FileBytes, withFile } from "./file-bytes.js";

const formatNames = {
  uint8: "U8",
  int8: "I8",
  int16: "I16",
  int32: "I32",
  int64: "I64",
  float16: "F16",
  float32: "F32",
  float64: "F64",
  bool: "BOOL",
  bfloat16: "BF16",
} as const satisfies Partial<Record<DType, string>>;

const dtypes = new Map(Object.entries(formatNames).map(([dtype, name]) => [name as string, dtype as DType]));

/** The metadata entry of the checksum. */
const CHECKSUM = "checksum";

/** Its value in our own files: the checksum's name, and 16 digits. Another program may have an entry of that name. */
const CHECKSUM_PATTERN = /^xxh64:[0-9a-f]{16}$/;

/** The placeholder while the checksum of the header is computed. */
const NO_CHECKSUM = `xxh64:${"0".repeat(16)}`;

/** The format's own limit; a larger one is a sign of another kind of file. */
const LARGEST_HEADER = 100_000_000;

interface Entry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** What a safetensors file holds. */
export interface SafetensorsContent {
  /** Tensors by name, in the order of the header, on the CPU. */
  readonly tensors: Map<string, Tensor>;
  /** Strings by name, for any purpose. */
  readonly metadata: Readonly<Record<string, string>>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function parseEntry(name: string, value: unknown, dataLength: number): Entry {
  const fail = (problem: string): never => {
    throw new FileFormatError(`tensor ${JSON.stringify(name)} ${problem}`);
  };
  if (!isRecord(value)) return fail("has no description");
  const { dtype: dtypeName, shape, data_offsets: offsets } = value;
  const dtype = typeof dtypeName === "string" ? dtypes.get(dtypeName) : undefined;
  if (!dtype) return fail(`has the element type ${JSON.stringify(dtypeName)}, which is not supported`);
  if (!Array.isArray(shape) || !shape.every(isSize)) return fail("has a shape that is not a list of sizes");
  // Beside a zero, sizes may be so large that libtorch cannot count with them.
  if (!Number.isSafeInteger(elementCount(shape.filter((size) => size > 0)))) {
    return fail(`has a shape of too many elements, ${formatShape(shape)}`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) return fail("has no valid offsets");
  const [begin, end] = offsets as [number, number];
  if (end > dataLength)
    return fail(`ends at byte ${end}, but the file holds ${dataLength} bytes of data; it is truncated`);
  if (end - begin !== elementCount(shape) * elementSize(dtype)) return fail("has offsets that do not fit its shape");
  return { dtype, shape, begin, end };
}

const inOrderOfData = (entries: ReadonlyMap<string, Entry>): [name: string, entry: Entry][] =>
  [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);

/** The format requires the tensors to fill the data without gaps and overlaps, so that nothing can be hidden in a file. */
function checkLayout(entries: ReadonlyMap<string, Entry>, dataLength: number): void {
  let filled = 0;
  for (const [name, { begin, end }] of inOrderOfData(entries)) {
    if (begin !== filled)
      throw new FileFormatError(`tensor ${JSON.stringify(name)} begins at byte ${begin}, not at ${filled}`);
    filled = end;
  }
  if (filled !== dataLength) throw new FileFormatError(`its tensors fill ${filled} of ${dataLength} bytes of data`);
}

function parseHeader(
  bytes: Uint8Array,
  dataLength: number,
): { entries: Map<string, Entry>; metadata: Record<string, string> } {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new FileFormatError("its header is not JSON; it is damaged, or not a safetensors file", { cause });
  }
  if (!isRecord(header)) throw new FileFormatError("its header is not a table of tensors");
  const { __metadata__: metadata = {}, ...rest } = header;
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === "string")) {
    throw new FileFormatError("its metadata are not a table of strings");
  }
  const entries = new Map(Object.entries(rest).map(([name, value]) => [name, parseEntry(name, value, dataLength)]));
  checkLayout(entries, dataLength);
  return { entries, metadata: metadata as Record<string, string> };
}

/** The contents of a file before the data. */
interface Header {
  /** The tensors, by name. */
  readonly entries: Map<string, Entry>;
  /** All strings except the checksum. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The offset of the data. */
  readonly dataStart: number;
  /** The checksum of header and data, and the header's part of it; undefined if the file has none. */
  readonly checksum: { readonly wanted: string; readonly ofHeader: bigint } | undefined;
}

/** XXH64 of bytes that follow others; the checksum of those is the seed. */
function checksumOf(bytes: Uint8Array, before = 0n): bigint {
  return native.checksum(bytes, before);
}

const formatChecksum = (checksum: bigint): string => `xxh64:${checksum.toString(16).padStart(16, "0")}`;

/** Replaces a checksum in a header by another of the same length. */
function replaceChecksum(header: Buffer, from: string, to: string): void {
  const entry = (value: string): string => `"${CHECKSUM}":"${value}"`;
  const place = header.indexOf(entry(from));
  if (place >= 0) header.write(entry(to), place, "latin1");
}

/** The checksum of a header, as it was before the checksum of the file was written into it. */
function checksumOfHeader(bytes: Uint8Array, wanted: string): bigint {
  const header = Buffer.from(bytes);
  replaceChecksum(header, wanted, NO_CHECKSUM);
  return checksumOf(header);
}

function openHeader(file: FileBytes): Header {
  const fileLength = file.size;
  if (fileLength < 8) throw new FileFormatError("it is too short for a safetensors file");
  const headerLength = Number(new DataView(file.read(0, 8).buffer).getBigUint64(0, true));
  if (headerLength > LARGEST_HEADER || 8 + headerLength > fileLength) {
    throw new FileFormatError(
      `its header should have ${headerLength} bytes, the file has ${fileLength}; it is truncated, or not a safetensors file`,
    );
  }
  const dataStart = 8 + headerLength;
  const bytes = file.read(8, headerLength);
  const { entries, metadata: all } = parseHeader(bytes, fileLength - dataStart);
  const wanted = all[CHECKSUM] ?? "";
  if (!CHECKSUM_PATTERN.test(wanted)) return { entries, metadata: all, dataStart, checksum: undefined };
  const { [CHECKSUM]: _, ...metadata } = all;
  return { entries, metadata, dataStart, checksum: { wanted, ofHeader: checksumOfHeader(bytes, wanted) } };
}

/** Whether a file begins like a safetensors file: the length of a header, and the header's brace. */
export function isSafetensors(path: string): boolean {
  return withFile(path, (file) => {
    const opening = file.read(0, Math.min(9, file.size));
    const isPlausible = opening.length === 9 && opening[8] === "{".charCodeAt(0);
    return isPlausible && new DataView(opening.buffer).getBigUint64(0, true) <= BigInt(LARGEST_HEADER);
  });
}

/**
 * The metadata of a file, without reading its tensors.
 *
 * @throws FileFormatError when the header is truncated, damaged or of another kind; what the file system reports.
 */
export function readSafetensorsMetadata(path: string): Readonly<Record<string, string>> {
  return withFile(path, (file) => openHeader(file).metadata);
}

/** @throws FileFormatError when a bit of a file is not as it was written */
function checkContent({ wanted }: { readonly wanted: string }, found: bigint): void {
  if (formatChecksum(found) === wanted) return;
  throw new FileFormatError(
    `its content does not have the checksum that it had when it was written; it is damaged, or another program has changed it and left "${CHECKSUM}" in its metadata`,
  );
}

/**
 * Reads tensors (all, or those that `select` accepts) and the metadata of a safetensors file, one tensor at a time. If the
 * file has a checksum, as those of {@link saveSafetensors} do, and all tensors are read, it is verified.
 *
 * @throws FileFormatError when the file is truncated, damaged or of another kind; what the file system reports.
 */
export function loadSafetensors(path: string, select: (name: string) => boolean = () => true): SafetensorsContent {
  return withFile(path, (file) => {
    const { entries, metadata, dataStart, checksum } = openHeader(file);
    let found = checksum?.ofHeader ?? 0n;
    const tensors = new Map<string, Tensor>();
    try {
      // In the order of the data, as for the checksum; the header may have another order.
      for (const [name, { dtype, shape, begin, end }] of inOrderOfData(entries)) {
        if (!select(name)) continue;
        const bytes = file.read(dataStart + begin, end - begin);
        if (checksum) found = checksumOf(bytes, found);
        tensors.set(name, new Tensor(native.fromBytes(bytes, dtypeCode(dtype), shape, "cpu")));
      }
      if (checksum && tensors.size === entries.size) checkContent(checksum, found);
    } catch (error) {
      for (const tensor of tensors.values()) tensor.dispose();
      throw error;
    }
    const inOrder = [...entries.keys()].filter((name) => tensors.has(name));
    return { tensors: new Map(inOrder.map((name) => [name, tensors.get(name) as Tensor])), metadata };
  });
}

/**
 * Writes tensors and metadata as a safetensors file, which is either complete or absent. An entry "checksum" of the metadata,
 * which other readers ignore, holds XXH64 of its header and tensors.
 *
 * @throws TypeError for a dtype that the format lacks, or a name that it reserves; what the file system
 * reports, such as a full disk.
 */
export function saveSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  if (tensors.has("__metadata__")) throw new TypeError('no tensor of a safetensors file can be called "__metadata__"');
  // Large elements first: every tensor then begins at a multiple of its element size, which PyTorch needs to map it.
  const ordered = [...tensors].sort(([, a], [, b]) => elementSize(b.dtype) - elementSize(a.dtype));
  const header: [name: string, description: unknown][] = [["__metadata__", { ...metadata, [CHECKSUM]: NO_CHECKSUM }]];
  let offset = 0;
  for (const [name, { dtype, shape }] of ordered) {
    if (!(dtype in formatNames)) throw new TypeError(`safetensors files cannot hold ${dtype} tensors ("${name}")`);
    const end = offset + elementCount(shape) * elementSize(dtype);
    header.push([name, { dtype: formatNames[dtype as keyof typeof formatNames], shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  // Spaces align the data to 8 bytes, so that readers can map them.
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, 0x20);
  padded.set(json);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(padded.length), true);
  writeFileAtomically(path, (descriptor) => {
    writeAll(descriptor, length);
    writeAll(descriptor, padded);
    let checksum = checksumOf(padded);
    for (const [, tensor] of ordered) {
      const bytes = new Uint8Array(native.toBytes(tensor.handle));
      checksum = checksumOf(bytes, checksum);
      writeAll(descriptor, bytes);
    }
    replaceChecksum(padded, NO_CHECKSUM, formatChecksum(checksum));
    writeSync(descriptor, padded, 0, padded.length, length.length);
  });
}
