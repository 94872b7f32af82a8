import { createRequire } from "node:module";
import zlib from "node:zlib";

/** Node's own, since 20.15 and 22.2. */
const own: typeof zlib.crc32 | undefined = zlib.crc32;

function portable(): (bytes: Uint8Array) => number {
  // Its types are those of a CommonJS module, which do not match an import.
  const { unsigned } = createRequire(import.meta.url)("buffer-crc32") as {
    unsigned(bytes: Buffer): number;
  };
  return ({ buffer, byteOffset, byteLength }) => unsigned(Buffer.from(buffer, byteOffset, byteLength));
}

/** The checksum of zip archives, as an unsigned number. */
export const crc32: (bytes: Uint8Array) => number = own ? (bytes) => own(bytes) : portable();
