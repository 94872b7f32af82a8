import { createRequire } from "node:module";
import zlib from "node:zlib";

/** Node's own, since 20.15 and 22.2. */
const own: typeof zlib.crc32 | undefined = zlib.crc32;

function portable(): (bytes: Uint8Array, before?: number) => number {
  // Its types are those of a CommonJS module, which do not match an import.
  const { unsigned } = createRequire(import.meta.url)("buffer-crc32") as {
    unsigned(bytes: Buffer, before: number): number;
  };
  return ({ buffer, byteOffset, byteLength }, before = 0) =>
    unsigned(Buffer.from(buffer, byteOffset, byteLength), before);
}

/** The checksum of zip archives, as an unsigned number; of bytes that follow others, with the checksum of those. */
export const crc32: (bytes: Uint8Array, before?: number) => number = own
  ? (bytes, before) => own(bytes, before)
  : portable();
