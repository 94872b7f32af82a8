/** The arrays and scalars of numpy inside a pickle: booleans, integers and floating-point numbers, of any shape. */

import { type DType, elementSize } from "../dtype.js";
import { FileFormatError } from "../errors.js";
import { elementCount } from "../shape.js";
import { InertObject, type PickleCallable, type PickleObject, type PickleValue, pickleText } from "./pickle.js";
import { bytesNames } from "./python-bytes.js";

const dtypes: Readonly<Record<string, DType>> = {
  b1: "bool",
  u1: "uint8",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  f2: "float16",
  f4: "float32",
  f8: "float64",
};

class NumpyType implements PickleObject {
  readonly code: string;
  #byteOrder = "|";

  constructor(code: string) {
    this.code = code.replace(/^[<>=|]/, "");
    if (code.startsWith(">")) this.#byteOrder = ">";
  }

  /** @param state - version, byte order, and what only composed types have */
  setState(state: PickleValue): void {
    if (Array.isArray(state)) this.#byteOrder = pickleText(state[1]);
  }

  /** The element type here; undefined if there is none. */
  get dtype(): DType | undefined {
    return this.#byteOrder === ">" ? undefined : dtypes[this.code];
  }
}

function isSize(value: PickleValue): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/**
 * The elements of an array stored with the first axis fastest, reordered so that the last one is.
 *
 * @param size - bytes of one element
 */
export function inOrderOfC(bytes: Uint8Array, shape: readonly number[], size: number): Uint8Array {
  const ordered = new Uint8Array(bytes.length);
  const strides = shape.map((_, axis) => size * elementCount(shape.slice(0, axis)));
  let to = 0;
  const copy = (axis: number, from: number): void => {
    if (axis === shape.length) {
      for (let byte = 0; byte < size; byte++) ordered[to++] = bytes[from + byte] as number;
      return;
    }
    const stride = strides[axis] as number;
    for (let i = 0; i < (shape[axis] as number); i++) copy(axis + 1, from + i * stride);
  };
  copy(0, 0);
  return ordered;
}

/** More axes than numpy itself allows. */
const MOST_AXES = 64;

/** An array, in the order of C. */
export class NumpyArray implements PickleObject {
  /** Sizes of the axes. */
  shape: readonly number[] = [0];
  /** Undefined when the elements are not numbers, or have another byte order than this machine; `bytes` is then empty. */
  dtype: DType | undefined = "uint8";
  /** The elements in the order of C. */
  bytes: Uint8Array = new Uint8Array();

  /**
   * Takes the content over.
   *
   * @param state - version, shape, type, whether the first axis runs fastest, bytes
   * @throws FileFormatError when they do not go together
   */
  setState(state: PickleValue): void {
    const [, shape, type, isFortran, bytes] = Array.isArray(state) ? state : [];
    if (!Array.isArray(shape) || !shape.every(isSize) || shape.length > MOST_AXES || !(type instanceof NumpyType)) {
      throw new FileFormatError("the pickle has an invalid numpy array");
    }
    this.shape = shape;
    this.dtype = type.dtype;
    if (type.dtype === undefined) return;
    const size = elementSize(type.dtype);
    if (!(bytes instanceof Uint8Array) || bytes.length !== size * elementCount(shape)) {
      const found = bytes instanceof Uint8Array ? bytes.length : "no";
      throw new FileFormatError(`the numpy array of ${found} bytes cannot have the shape [${shape.join(", ")}]`);
    }
    this.bytes = isFortran === true ? inOrderOfC(bytes, shape, size) : bytes;
  }
}

/** The number in the bytes of one element; a record of the call if they are not a number. */
function scalar(values: readonly PickleValue[]): PickleValue {
  const [type, bytes] = values;
  const dtype = type instanceof NumpyType ? type.dtype : undefined;
  if (!dtype || !(bytes instanceof Uint8Array)) return new InertObject("numpy.core.multiarray.scalar", values);
  if (bytes.length !== elementSize(dtype)) throw new FileFormatError("the pickle has an invalid numpy scalar");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (dtype) {
    case "bool":
      return view.getUint8(0) !== 0;
    case "float32":
      return view.getFloat32(0, true);
    case "float64":
      return view.getFloat64(0, true);
    case "int64":
      return Number(view.getBigInt64(0, true));
    case "int32":
      return view.getInt32(0, true);
    case "int16":
      return view.getInt16(0, true);
    case "int8":
      return view.getInt8(0);
    case "uint8":
      return view.getUint8(0);
    default:
      return new InertObject("numpy.core.multiarray.scalar", values);
  }
}

/** How protocol 5 writes an array: bytes, type, shape, and "C" or "F" for the order. */
function fromBuffer([bytes = null, type = null, shape = null, order]: readonly PickleValue[]): NumpyArray {
  const array = new NumpyArray();
  array.setState([1, shape, type, pickleText(order) === "F", bytes]);
  return array;
}

const emptyArray: PickleCallable = { call: () => new NumpyArray() };

/** The names in a pickle that holds numpy's arrays and scalars. */
export const numpyNames: ReadonlyMap<string, PickleCallable> = new Map<string, PickleCallable>([
  // Before protocol 3 the elements are a string that a call turns into bytes.
  ...bytesNames,
  ["numpy.ndarray", emptyArray],
  ["numpy.dtype", { call: ([code]) => new NumpyType(pickleText(code)) }],
  // The second is its name in numpy 2.
  ...["numpy.core", "numpy._core"].flatMap((core): [string, PickleCallable][] => [
    [`${core}.multiarray._reconstruct`, emptyArray],
    [`${core}.multiarray.scalar`, { call: scalar }],
    [`${core}.numeric._frombuffer`, { call: fromBuffer }],
  ]),
]);
