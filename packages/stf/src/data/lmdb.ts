/**
 * LMDB databases, the form of LSUN's archives: version 1 of the format, that of all releases (0.9) and of Python's package. The
 * package lmdb of npm crashes on such files, because it is built for version 2. Only reading is needed here, of one database
 * without duplicates that nobody writes to: pages of a B+ tree (lmdb.h and mdb.c of OpenLDAP describe them).
 */

import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../common/errors.js";
import { type FileSource, MAX_FILE_BYTES } from "./file-source.js";

const DATA_FILE = "data.mdb";
const MAGIC = 0xbeefc0de;
const VERSION = 1;
/** Bytes before the content of a page. */
const HEADER = 16;
const META_BYTES = 136;
const SMALLEST_PAGE = 512;
const LARGEST_PAGE = 65_536;
const DEEPEST_TREE = 32;
/** The root of an empty tree. */
const NO_PAGE = 2n ** 64n - 1n;

/** Kinds of pages, by a bit of their flags. */
const BRANCH = 1;
const LEAF = 2;
/** Flags of a node: its value is on pages of its own; it is a database, or a list of values. */
const OWN_PAGES = 1;
const NESTED = 2 | 4;

/** Whether a folder is such a database. */
export const isLmdb = (folder: string): boolean => existsSync(join(folder, DATA_FILE));

/** Where a value is in the file. */
interface Place {
  readonly position: number;
  readonly size: number;
}

interface Meta {
  readonly pageSize: number;
  readonly root: bigint;
  readonly transaction: bigint;
}

/** The state of the database after one of the last two transactions. @throws Error when it is not one */
function readMeta(page: Buffer): Meta {
  const meta = page.subarray(HEADER);
  if (meta.length < META_BYTES || meta.readUInt32LE(0) !== MAGIC) throw new Error("it is not an LMDB file");
  const version = meta.readUInt32LE(4) & 0xffff;
  if (version !== VERSION) throw new Error(`it has version ${version} of the format, only ${VERSION} is read`);
  const pageSize = meta.readUInt32LE(24);
  if (pageSize < SMALLEST_PAGE || pageSize > LARGEST_PAGE || !Number.isInteger(Math.log2(pageSize))) {
    throw new Error(`it declares pages of ${pageSize} bytes`);
  }
  return { pageSize, root: meta.readBigUInt64LE(112), transaction: meta.readBigUInt64LE(128) };
}

/** Keys as text, those that are not printable in hexadecimal. */
const textOf = (key: Buffer): string => {
  const text = key.toString("latin1");
  return /^[\x21-\x7e]+$/.test(text) ? text : key.toString("hex");
};

class Reader {
  readonly #descriptor: number;
  readonly #fileSize: number;
  readonly values = new Map<string, Place>();
  #pageSize = SMALLEST_PAGE;
  #pagesLeft = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#fileSize = fstatSync(descriptor).size;
  }

  /** @throws Error when the file ends before */
  read({ position, size }: Place): Buffer {
    if (size > MAX_FILE_BYTES || position + size > this.#fileSize) throw new Error("it refers to bytes after its end");
    const bytes = Buffer.alloc(size);
    for (let done = 0; done < size; ) {
      const count = readSync(this.#descriptor, bytes, done, size - done, position + done);
      if (count === 0) throw new Error("it ends too early");
      done += count;
    }
    return bytes;
  }

  #page(number: bigint): Buffer {
    // In a damaged file pages may refer to each other in circles.
    if (this.#pagesLeft-- <= 0) throw new Error("its pages form a circle");
    return this.read({ position: Number(number) * this.#pageSize, size: this.#pageSize });
  }

  /** Finds all values, in the order of their keys. */
  readAll(): void {
    const first = readMeta(this.read({ position: 0, size: HEADER + META_BYTES }));
    this.#pageSize = first.pageSize;
    this.#pagesLeft = Math.ceil(this.#fileSize / this.#pageSize);
    const second = readMeta(this.read({ position: this.#pageSize, size: HEADER + META_BYTES }));
    const { root } = second.transaction > first.transaction ? second : first;
    if (root !== NO_PAGE) this.#descend(root, DEEPEST_TREE);
  }

  #descend(number: bigint, depthLeft: number): void {
    if (depthLeft === 0) throw new Error("its tree is too deep");
    const page = this.#page(number);
    const flags = page.readUInt16LE(10);
    const count = (page.readUInt16LE(12) - HEADER) / 2;
    for (let i = 0; i < count; i++) {
      const start = page.readUInt16LE(HEADER + 2 * i);
      const low = page.readUInt32LE(start);
      const high = page.readUInt16LE(start + 4);
      if ((flags & BRANCH) !== 0) this.#descend(BigInt(low) + (BigInt(high) << 32n), depthLeft - 1);
      else if ((flags & LEAF) !== 0) this.#add(page, Number(number), start, low, high);
      else throw new Error(`page ${number} is of an unknown kind`);
    }
  }

  #add(page: Buffer, number: number, start: number, size: number, flags: number): void {
    if ((flags & NESTED) !== 0) throw new Error("it has several databases, or several values for a key");
    const keySize = page.readUInt16LE(start + 6);
    const key = textOf(page.subarray(start + 8, start + 8 + keySize));
    const value = start + 8 + keySize;
    const position =
      (flags & OWN_PAGES) === 0
        ? number * this.#pageSize + value
        : Number(page.readBigUInt64LE(value)) * this.#pageSize + HEADER;
    this.values.set(key, { position, size });
  }
}

/**
 * The values of a database by their keys, in the order of the keys.
 *
 * @throws InputError when it is damaged or of another kind
 */
export function openLmdb(folder: string): FileSource {
  const path = join(folder, DATA_FILE);
  const descriptor = openSync(path, "r");
  try {
    const reader = new Reader(descriptor);
    reader.readAll();
    const nameOf = (key: string): string => `${key} in ${folder}`;
    return {
      location: folder,
      paths: [...reader.values.keys()],
      nameOf,
      async read(key) {
        try {
          return reader.read(reader.values.get(key) as Place);
        } catch (cause) {
          throw new InputError(`${nameOf(key)} cannot be read: ${(cause as Error).message}`, { cause });
        }
      },
      close: () => closeSync(descriptor),
    };
  } catch (cause) {
    closeSync(descriptor);
    throw new InputError(
      `${path} cannot be read as a database of images: ${(cause as Error).message}; download it again, or export the images to files`,
      { cause },
    );
  }
}
