/**
 * The events that TensorBoard reads, as protocol buffers: the few messages of its `event.proto` and `summary.proto` that a training
 * writes. Fields are numbered as there; the wire format is that of protobuf.dev/programming-guides/encoding.
 */

/** One or more fields of a message. */
type Encoded = Uint8Array;

const WIRE = { varint: 0, double: 1, bytes: 2, float: 5 } as const;

/** A whole number of at least 0, seven bits to a byte, lowest first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) | 0x80);
  return [...bytes, left];
}

const key = (field: number, wire: number): number[] => varint(8 * field + wire);

const integer = (field: number, value: number): Encoded =>
  Uint8Array.from([...key(field, WIRE.varint), ...varint(value)]);

function real(field: number, value: number, wire: typeof WIRE.double | typeof WIRE.float): Encoded {
  const bytes = new Uint8Array(wire === WIRE.double ? 8 : 4);
  const view = new DataView(bytes.buffer);
  if (wire === WIRE.double) view.setFloat64(0, value, true);
  else view.setFloat32(0, value, true);
  return message(Uint8Array.from(key(field, wire)), bytes);
}

/** Text, bytes, or a message within another. */
function nested(field: number, content: string | Encoded): Encoded {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return message(Uint8Array.from([...key(field, WIRE.bytes), ...varint(bytes.length)]), bytes);
}

const message = (...fields: readonly Encoded[]): Encoded => Buffer.concat(fields);

/** When something happened: seconds since 1970, and the images seen in training. */
export interface EventTime {
  readonly seconds: number;
  readonly images: number;
}

/** The fields of an `Event`. */
const FIELD = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;

const eventOf = ({ seconds, images }: EventTime, what: Encoded): Uint8Array =>
  message(real(FIELD.wallTime, seconds, WIRE.double), integer(FIELD.step, images), what);

/** The first event of every file. */
export const versionEvent = (seconds: number): Uint8Array =>
  message(real(FIELD.wallTime, seconds, WIRE.double), nested(FIELD.fileVersion, "brain.Event:2"));

const START = 1;

/**
 * The start of a process: a `SessionLog` with status = 1. From the second one on, it tells a TensorBoard that is running to forget what it
 * has read of later steps.
 */
export const startEvent = ({ seconds, images }: EventTime): Uint8Array =>
  eventOf({ seconds, images: images + 1 }, nested(FIELD.sessionLog, integer(1, START)));

/** One value of a `Summary`. */
export type SummaryValue = Encoded;

/** An event with values: a `Summary`, with value = 1 repeated. */
export const summaryEvent = (time: EventTime, values: readonly SummaryValue[]): Uint8Array =>
  eventOf(time, nested(FIELD.summary, message(...values.map((value) => nested(1, value)))));

/** A number: tag = 1, simple_value = 2. */
export const scalarValue = (tag: string, value: number): SummaryValue =>
  message(nested(1, tag), real(2, value, WIRE.float));

/** A picture, a PNG or JPEG file: image = 4 with height = 1, width = 2, colorspace = 3 (1 grey, 3 RGB), encoded_image_string = 4. */
export function imageValue(
  tag: string,
  { width, height, channels }: { readonly width: number; readonly height: number; readonly channels: number },
  file: Uint8Array,
): SummaryValue {
  const image = message(integer(1, height), integer(2, width), integer(3, channels), nested(4, file));
  return message(nested(1, tag), nested(4, image));
}

const DT_STRING = 7;

/**
 * Markdown for the text plugin: tensor = 8, with dtype = 1, tensor_shape = 2 of one dim = 2 of size = 1, and string_val = 8;
 * metadata = 9, with plugin_data = 1 and its plugin_name = 1.
 */
export function textValue(tag: string, markdown: string): SummaryValue {
  const metadata = nested(1, nested(1, "text"));
  const tensor = message(integer(1, DT_STRING), nested(2, nested(2, integer(1, 1))), nested(8, markdown));
  return message(nested(1, tag), nested(8, tensor), nested(9, metadata));
}

/** The images at which values were added, the step of their event; undefined for events of other things. */
export function imagesOfEvent(event: Uint8Array): number | undefined {
  let at = 0;
  const read = (): number => {
    let value = 0;
    for (let scale = 1; at < event.length; scale *= 0x80) {
      const byte = event[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  };
  let images = 0;
  let hasValues = false;
  while (at < event.length) {
    const tag = read();
    const [field, wire] = [tag >>> 3, tag & 7];
    // Of a number of fixed size, the bytes; of others, the value or the bytes that follow.
    const value = wire === WIRE.double ? 8 : wire === WIRE.float ? 4 : read();
    if (wire !== WIRE.varint) at += value;
    if (field === FIELD.step) images = value;
    hasValues ||= field === FIELD.summary;
  }
  return hasValues ? images : undefined;
}
