/** Tar archives, gzipped or not, read as a stream: only the requested files are held in memory. */

import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { InputError } from "../common/errors.js";
import { MAX_FILE_BYTES } from "./file-source.js";

const BLOCK = 512;
/** Larger pieces than node:zlib's default take fewer turns of the event loop. */
const CHUNK_BYTES = 2 ** 18;

interface TarHeader {
  readonly path: string;
  readonly size: number;
  readonly isFile: boolean;
}

/** Returns the bytes of a stream in pieces of the requested size. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #current: Uint8Array = new Uint8Array();

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** Calls `use` with consecutive pieces that make up `size` bytes. Returns how many there were before the end. */
  async #consume(size: number, use: (piece: Uint8Array, offset: number) => void): Promise<number> {
    let done = 0;
    while (done < size) {
      if (this.#current.length === 0) {
        const { value, done: ended } = await this.#chunks.next();
        if (ended) break;
        this.#current = value;
      }
      const piece = this.#current.subarray(0, size - done);
      use(piece, done);
      this.#current = this.#current.subarray(piece.length);
      done += piece.length;
    }
    return done;
  }

  /** The next `size` bytes, or undefined when the stream ends before. */
  async take(size: number): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(size);
    const found = await this.#consume(size, (piece, offset) => bytes.set(piece, offset));
    return found === size ? bytes : undefined;
  }

  /** Skips `size` bytes. Returns whether there were that many. */
  async skip(size: number): Promise<boolean> {
    return (await this.#consume(size, () => {})) === size;
  }
}

function text(block: Uint8Array, start: number, length: number): string {
  const field = Buffer.from(block.buffer, block.byteOffset + start, length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

function octal(block: Uint8Array, start: number, length: number): number {
  const digits = text(block, start, length).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** @throws Error when the block is not a header: its checksum, computed with a blank checksum field, must match */
function readHeader(block: Uint8Array): TarHeader {
  const [checksumStart, checksumEnd, blank] = [148, 156, 0x20];
  const sum = block.reduce((total, byte, i) => total + (i >= checksumStart && i < checksumEnd ? blank : byte), 0);
  const size = octal(block, 124, 12);
  if (sum !== octal(block, checksumStart, 8) || Number.isNaN(size)) throw new Error("a header is wrong");
  const folder = text(block, 257, 5) === "ustar" ? text(block, 345, 155) : "";
  const type = text(block, 156, 1);
  return { path: (folder === "" ? "" : `${folder}/`) + text(block, 0, 100), size, isFile: type === "" || type === "0" };
}

/** Whether a file's first bytes are those of an uncompressed tar archive. */
export function isTar(start: Uint8Array): boolean {
  if (start.length < BLOCK) return false;
  try {
    return readHeader(start.subarray(0, BLOCK)).path !== "";
  } catch {
    return false;
  }
}

async function readFiles(
  source: AsyncIterable<Uint8Array>,
  isWanted: (path: string) => boolean,
): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const reader = new ByteReader(source);
  for (;;) {
    const block = await reader.take(BLOCK);
    // A block of zeros ends an archive; some writers leave it out.
    if (!block || block.every((byte) => byte === 0)) return files;
    const { path, size, isFile } = readHeader(block);
    let rest = size;
    if (isFile && isWanted(path)) {
      if (size > MAX_FILE_BYTES) throw new Error(`${path} declares ${size} bytes, at most ${MAX_FILE_BYTES} are read`);
      const bytes = await reader.take(size);
      if (!bytes) throw new Error(`it ends inside ${path}`);
      files.set(path, bytes);
      rest = 0;
    }
    const padding = (BLOCK - (size % BLOCK)) % BLOCK;
    if (!(await reader.skip(rest + padding))) throw new Error(`it ends inside ${path}`);
  }
}

/**
 * The wanted files of a tar archive, gzipped or not, by path.
 *
 * @throws InputError when it is not such an archive, or is damaged or truncated
 */
export async function readTar(
  archive: string,
  isWanted: (path: string) => boolean,
  { gzipped }: { gzipped: boolean },
): Promise<ReadonlyMap<string, Uint8Array>> {
  let files: ReadonlyMap<string, Uint8Array> = new Map();
  const read = async (source: AsyncIterable<Uint8Array>): Promise<void> => {
    files = await readFiles(source, isWanted);
  };
  try {
    const stream = createReadStream(archive);
    if (gzipped) await pipeline(stream, createGunzip({ chunkSize: CHUNK_BYTES }), read);
    else await pipeline(stream, read);
  } catch (cause) {
    throw new InputError(
      `${archive} is not a${gzipped ? " gzipped" : ""} tar archive, or is damaged or truncated (${(cause as Error).message}); download it again`,
      { cause },
    );
  }
  return files;
}
