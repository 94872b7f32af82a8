/** Zip archives as sources of files: yauzl reads the directory, zip64 included; entries are read and checked here. */

import { isUtf8 } from "node:buffer";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { pipeline, Readable } from "node:stream";
import { createInflateRaw, inflateRawSync } from "node:zlib";
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from "yauzl";
import { crc32 } from "../codecs/crc32.js";
import { InputError } from "../common/errors.js";
import { type FileSource, isHidden, MAX_FILE_BYTES } from "./file-source.js";

const DEFLATED = 8;

/** Bytes that are read at a time, because neighbouring entries are mostly read one after the other. */
const BLOCK_BYTES = 2 ** 16;

/** Reads part of a file; less only at its end. */
function readUpTo(descriptor: number, buffer: Uint8Array, position: number): Uint8Array {
  let done = 0;
  while (done < buffer.length) {
    const count = readSync(descriptor, buffer, done, buffer.length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return buffer.subarray(0, done);
}

/**
 * Reads without streams, in blocks: entries are mostly small, and a read of a kilobyte takes microseconds where a stream takes
 * a tenth of a millisecond.
 */
class DescriptorReader extends RandomAccessReader {
  readonly #descriptor: number;
  #block: Uint8Array = new Uint8Array();
  #blockStart = 0;

  constructor(descriptor: number) {
    super();
    this.#descriptor = descriptor;
  }

  /** Fills a buffer. @throws Error when the file ends before */
  fill(buffer: Uint8Array, position: number): void {
    const found = buffer.length < BLOCK_BYTES ? this.#fromBlock(buffer.length, position) : undefined;
    if (found) buffer.set(found);
    else if (readUpTo(this.#descriptor, buffer, position).length < buffer.length) {
      throw new Error("the file ends too early");
    }
  }

  #fromBlock(length: number, position: number): Uint8Array | undefined {
    if (position < this.#blockStart || position + length > this.#blockStart + this.#block.length) {
      this.#block = readUpTo(this.#descriptor, new Uint8Array(BLOCK_BYTES), position);
      this.#blockStart = position;
    }
    const from = position - this.#blockStart;
    return from + length <= this.#block.length ? this.#block.subarray(from, from + length) : undefined;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    try {
      this.fill(buffer.subarray(offset, offset + length), position);
    } catch (error) {
      callback(error as Error);
      return;
    }
    callback(null);
  }
}

/** Where the data of an entry begin. @throws Error when they cannot be read */
async function startOf(zip: ZipFile, entry: Entry): Promise<number> {
  if (entry.isEncrypted()) throw new Error("it is encrypted");
  if (!entry.canDecodeFileData()) {
    throw new Error(`compression method ${entry.compressionMethod}, only 0 and 8 are read`);
  }
  return (await zip.readLocalFileHeaderPromise(entry, { minimal: true })).fileDataStart;
}

/** @throws Error when an entry is not what the directory says */
function checkEntry({ uncompressedSize, crc32: stated }: Entry, size: number, checksum: number): void {
  if (size !== uncompressedSize) throw new Error(`${size} bytes instead of ${uncompressedSize}`);
  if (checksum !== stated) throw new Error("its checksum is wrong");
}

async function readEntry(zip: ZipFile, reader: DescriptorReader, entry: Entry): Promise<Uint8Array> {
  const { compressedSize, uncompressedSize, compressionMethod } = entry;
  if (Math.max(compressedSize, uncompressedSize) > MAX_FILE_BYTES) {
    throw new Error(`it declares ${uncompressedSize} bytes, at most ${MAX_FILE_BYTES} are read`);
  }
  const start = await startOf(zip, entry);
  const stored = new Uint8Array(compressedSize);
  reader.fill(stored, start);
  const bytes =
    compressionMethod === DEFLATED
      ? inflateRawSync(stored, { maxOutputLength: Math.max(1, uncompressedSize) })
      : stored;
  checkEntry(entry, bytes.length, crc32(bytes));
  return bytes;
}

/** Bytes of a large entry that are read at a time. */
const PIECE_BYTES = 2 ** 20;

function* storedPieces(reader: DescriptorReader, start: number, size: number): Generator<Uint8Array> {
  for (let done = 0; done < size; done += PIECE_BYTES) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, size - done));
    reader.fill(piece, start + done);
    yield piece;
  }
}

/** The pieces of an entry of any size; after the last one it is checked. */
async function* piecesOfEntry(zip: ZipFile, reader: DescriptorReader, entry: Entry): AsyncGenerator<Uint8Array> {
  const stored = storedPieces(reader, await startOf(zip, entry), entry.compressedSize);
  const pieces =
    entry.compressionMethod === DEFLATED
      ? pipeline(Readable.from(stored), createInflateRaw({ chunkSize: PIECE_BYTES }), () => {})
      : stored;
  let [size, checksum] = [0, 0];
  for await (const piece of pieces as AsyncIterable<Uint8Array>) {
    size += piece.length;
    checksum = crc32(piece, checksum);
    if (size > entry.uncompressedSize) break;
    yield piece;
  }
  checkEntry(entry, size, checksum);
}

const UTF8_FLAG = 0x800;
const UNICODE_PATH = 0x7075;

/**
 * The name of an entry. Without an encoding flag it is that of MS-DOS; but some programs write UTF-8 without the flag, and
 * some Latin-1, whose letters, from 0xc0 on, are frames and symbols in MS-DOS.
 */
function nameOfEntry({ fileName, fileNameRaw, generalPurposeBitFlag, extraFields }: Entry): string {
  const isDeclared = (generalPurposeBitFlag & UTF8_FLAG) !== 0 || extraFields.some(({ id }) => id === UNICODE_PATH);
  if (isDeclared) return fileName;
  const letters = fileNameRaw.filter((byte) => byte >= 0x80);
  const encoding = isUtf8(fileNameRaw) ? "utf8" : letters.every((byte) => byte >= 0xc0) ? "latin1" : undefined;
  return letters.length === 0 || encoding === undefined
    ? fileName
    : fileNameRaw.toString(encoding).replaceAll("\\", "/");
}

async function readDirectory(zip: ZipFile): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) {
    const path = nameOfEntry(entry);
    if (!path.endsWith("/") && !path.split("/").some(isHidden)) entries.set(path, entry);
  }
  return entries;
}

/**
 * The files of a zip archive, stored or deflated. Every file that is read is checked against its checksum and declared size.
 *
 * @throws InputError when it is not a zip archive, is truncated, or its directory is damaged
 */
export async function openZip(location: string): Promise<FileSource> {
  const descriptor = openSync(location, "r");
  try {
    const reader = new DescriptorReader(descriptor);
    const zip = await fromRandomAccessReaderPromise(reader, fstatSync(descriptor).size, { autoClose: false });
    const entries = await readDirectory(zip);
    const nameOf = (path: string): string => `${path} in ${basename(location)}`;
    const damaged = (path: string, cause: unknown): InputError =>
      new InputError(
        `${nameOf(path)} cannot be unpacked: ${(cause as Error).message}; download or pack the archive again`,
        { cause },
      );
    return {
      location,
      paths: [...entries.keys()].sort(),
      nameOf,
      async read(path) {
        try {
          return await readEntry(zip, reader, entries.get(path) as Entry);
        } catch (cause) {
          throw damaged(path, cause);
        }
      },
      async *pieces(path) {
        try {
          yield* piecesOfEntry(zip, reader, entries.get(path) as Entry);
        } catch (cause) {
          throw damaged(path, cause);
        }
      },
      identityOf(path) {
        const { crc32: checksum, uncompressedSize, compressedSize } = entries.get(path) as Entry;
        return `${checksum} ${uncompressedSize} ${compressedSize}`;
      },
      close: () => closeSync(descriptor),
    };
  } catch (cause) {
    closeSync(descriptor);
    throw new InputError(
      `${location} is not a zip archive, or is damaged or truncated (${(cause as Error).message}); download or pack it again`,
      { cause },
    );
  }
}
