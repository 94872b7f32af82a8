/** The segments of a JPEG file, up to the first scan. */

/** One segment of a JPEG file: its marker and the position of its content. */
export interface JpegSegment {
  readonly marker: number;
  /** Start of the content, after its length. */
  readonly start: number;
  readonly end: number;
}

/** The marker of a scan header, which compressed data follow. */
export const SCAN = 0xda;

/**
 * The segments up to and including the header of the first scan. Stray bytes before a marker are skipped, as all decoders
 * do.
 */
export function* jpegSegments(bytes: Uint8Array): Generator<JpegSegment> {
  for (let position = 2; position + 4 <= bytes.length; ) {
    const marker = bytes[position + 1] as number;
    // Not a marker, or one without content.
    const isAlone = marker === 0 || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd9);
    if (bytes[position] !== 0xff || marker === 0xff || isAlone) {
      position += bytes[position] === 0xff && isAlone ? 2 : 1;
      continue;
    }
    const start = position + 4;
    const end = position + 2 + 256 * (bytes[position + 2] as number) + (bytes[position + 3] as number);
    yield { marker, start, end: Math.min(Math.max(start, end), bytes.length) };
    if (marker === SCAN) return;
    position = Math.max(start, end);
  }
}

const END = 0xd9;
const isRestart = (marker: number): boolean => marker >= 0xd0 && marker <= 0xd7;

/** Whether the data of the first scan are the only ones, and the file ends with them. */
export function hasOneScan(bytes: Uint8Array): boolean {
  const scan = Array.from(jpegSegments(bytes)).at(-1);
  if (scan?.marker !== SCAN) return false;
  for (let at = bytes.indexOf(0xff, scan.end); at >= 0; at = bytes.indexOf(0xff, at + 2)) {
    const marker = bytes[at + 1] as number;
    // A zero says that 0xff was data.
    if (marker !== 0 && !isRestart(marker)) return marker === END && at + 2 === bytes.length;
  }
  return false;
}
