/**
 * The directory of a zip archive whose entries are stored uncompressed, which is how PyTorch writes them: a tensor's bytes
 * can be read from the middle of the file. Archives beyond 4 GiB (zip64) are supported. Checksums are not compared: PyTorch
 * can be configured not to compute them, and then writes other values.
 */

import { FileFormatError } from "../errors.js";
import type { FileBytes } from "./file-bytes.js";

const END = 0x06054b50;
const END_LENGTH = 22;
const LONGEST_COMMENT = 0xffff;
const END64_LOCATOR = 0x07064b50;
const END64_LOCATOR_LENGTH = 20;
const END64 = 0x06064b50;
const END64_LENGTH = 56;
const DIRECTORY_ENTRY = 0x02014b50;
const DIRECTORY_ENTRY_LENGTH = 46;
const LOCAL_HEADER = 0x04034b50;
const LOCAL_HEADER_LENGTH = 30;
const ZIP64_EXTRA = 1;
const IN_ZIP64 = 0xffffffff;

interface Entry {
  readonly size: number;
  readonly compressed: boolean;
  readonly headerPosition: number;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

const damaged = (what: string): FileFormatError =>
  new FileFormatError(`${what}; the archive is damaged or truncated, fetch or copy it again`);

/** Where the directory is and how many entries it has. */
function findDirectory(file: FileBytes): { position: number; length: number; count: number } {
  const tailLength = Math.min(file.size, END_LENGTH + LONGEST_COMMENT);
  const tailPosition = file.size - tailLength;
  const tail = viewOf(file.read(tailPosition, tailLength));
  let at = tailLength - END_LENGTH;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) throw damaged("it has no directory at its end");
  const plain = {
    position: tail.getUint32(at + 16, true),
    length: tail.getUint32(at + 12, true),
    count: tail.getUint16(at + 10, true),
  };
  if (plain.position !== IN_ZIP64 && plain.length !== IN_ZIP64 && plain.count !== 0xffff) return plain;
  const locator = viewOf(file.read(Math.max(0, tailPosition + at - END64_LOCATOR_LENGTH), END64_LOCATOR_LENGTH));
  if (locator.getUint32(0, true) !== END64_LOCATOR) throw damaged("its directory is not where it should be");
  const end = viewOf(file.read(Number(locator.getBigUint64(8, true)), END64_LENGTH));
  if (end.getUint32(0, true) !== END64) throw damaged("its directory is not where it should be");
  return {
    position: Number(end.getBigUint64(48, true)),
    length: Number(end.getBigUint64(40, true)),
    count: Number(end.getBigUint64(32, true)),
  };
}

/** Size and position of an entry, where 32 bits are too few: in the order size, compressed size, position. */
function zip64Numbers(extra: DataView): number[] {
  for (let at = 0; at + 4 <= extra.byteLength; at += 4 + extra.getUint16(at + 2, true)) {
    if (extra.getUint16(at, true) !== ZIP64_EXTRA) continue;
    const count = Math.floor(Math.min(extra.getUint16(at + 2, true), extra.byteLength - at - 4) / 8);
    return Array.from({ length: count }, (_, i) => Number(extra.getBigUint64(at + 4 + 8 * i, true)));
  }
  return [];
}

/** An archive of stored entries. */
export class StoredZip {
  readonly #file: FileBytes;
  readonly #entries = new Map<string, Entry>();

  /** @throws FileFormatError when the directory is damaged or missing */
  constructor(file: FileBytes) {
    this.#file = file;
    const { position, length, count } = findDirectory(file);
    const bytes = file.read(position, length);
    const directory = viewOf(bytes);
    let at = 0;
    for (let i = 0; i < count; i++) {
      if (at + DIRECTORY_ENTRY_LENGTH > length || directory.getUint32(at, true) !== DIRECTORY_ENTRY) {
        throw damaged(`entry ${i} of its directory is wrong`);
      }
      const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) =>
        directory.getUint16(at + field, true),
      ) as [number, number, number];
      const nameEnd = at + DIRECTORY_ENTRY_LENGTH + nameLength;
      if (nameEnd + extraLength + commentLength > length) throw damaged(`entry ${i} of its directory is wrong`);
      const name = new TextDecoder().decode(bytes.subarray(at + DIRECTORY_ENTRY_LENGTH, nameEnd));
      const large = zip64Numbers(viewOf(bytes.subarray(nameEnd, nameEnd + extraLength)));
      const number = (field: number): number => {
        const value = directory.getUint32(at + field, true);
        return value === IN_ZIP64 ? (large.shift() ?? value) : value;
      };
      const size = number(24);
      const storedSize = number(20);
      const compressed = directory.getUint16(at + 10, true) !== 0 || size !== storedSize;
      this.#entries.set(name, { size, compressed, headerPosition: number(42) });
      at = nameEnd + extraLength + commentLength;
    }
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** Bytes of an entry; undefined when there is no such entry. */
  sizeOf(name: string): number | undefined {
    return this.#entries.get(name)?.size;
  }

  /** `length` bytes of an entry from `begin` on. */
  read(name: string, begin: number, length: number): Uint8Array {
    const entry = this.#entries.get(name);
    if (!entry) throw damaged(`it lacks ${JSON.stringify(name)}`);
    if (entry.compressed) throw damaged(`${JSON.stringify(name)} in it is compressed, which PyTorch never does`);
    if (begin + length > entry.size) throw damaged(`${JSON.stringify(name)} in it ends too early`);
    const header = viewOf(this.#file.read(entry.headerPosition, LOCAL_HEADER_LENGTH));
    if (header.getUint32(0, true) !== LOCAL_HEADER) throw damaged(`${JSON.stringify(name)} is not where it should be`);
    const skipped = LOCAL_HEADER_LENGTH + header.getUint16(26, true) + header.getUint16(28, true);
    return this.#file.read(entry.headerPosition + skipped + begin, length);
  }

  /** All bytes of an entry. */
  readAll(name: string): Uint8Array {
    return this.read(name, 0, this.sizeOf(name) ?? 0);
  }
}
