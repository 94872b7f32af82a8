/**
 * TFRecord files: records, each with its length and two checksums, so that the end of a file that is still growing, or was cut off,
 * is recognised. Format: the docstring of TensorFlow's `TFRecordWriter` (lib/io/record_writer.h).
 */

/** The polynomial of Castagnoli, bit-reversed. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? POLYNOMIAL : 0);
  return value;
});

/** The checksum CRC-32C (RFC 3720, appendix B.4), as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (TABLE[(value ^ byte) & 0xff] as number) ^ (value >>> 8);
  return ~value >>> 0;
}

const MASK = 0xa282ead8;

/** Stored checksums are changed, because one of data that holds its own checksum is always the same. */
function maskedChecksum(bytes: Uint8Array): number {
  const value = crc32c(bytes);
  return (((value >>> 15) | (value << 17)) + MASK) >>> 0;
}

/** Bytes of a length and its checksum, and of the checksum of the data. */
const [HEAD, TAIL] = [12, 4];

/** A record as a file holds it. */
export function framed(record: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD + record.length + TAIL);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(record.length), true);
  view.setUint32(8, maskedChecksum(bytes.subarray(0, 8)), true);
  bytes.set(record, HEAD);
  view.setUint32(HEAD + record.length, maskedChecksum(record), true);
  return bytes;
}

/** The records of a file, up to the first that is incomplete or damaged. */
export function recordsIn(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: Uint8Array[] = [];
  for (let start = 0; start + HEAD + TAIL <= bytes.length; ) {
    if (view.getUint32(start + 8, true) !== maskedChecksum(bytes.subarray(start, start + 8))) break;
    const end = start + HEAD + Number(view.getBigUint64(start, true));
    if (end + TAIL > bytes.length) break;
    const record = bytes.subarray(start + HEAD, end);
    if (view.getUint32(end, true) !== maskedChecksum(record)) break;
    records.push(record);
    start = end + TAIL;
  }
  return records;
}
