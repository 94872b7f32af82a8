/** The arrays of numpy inside a pickle: bytes of up to two axes, which is what data sets hold. */

import { type PickleCallable, type PickleObject, type PickleValue, pickleText } from "./pickle.js";

class NumpyType implements PickleObject {
  readonly code: string;

  constructor(code: string) {
    this.code = code;
  }

  /** Byte order and field names, which single bytes do not have. */
  setState(): void {}
}

function isSize(value: PickleValue): value is number {
  return typeof value === "number" && value >= 0;
}

/** `[columns, rows]` to `[rows, columns]`. */
function transposed(bytes: Uint8Array, rows: number, columns: number): Uint8Array {
  return Uint8Array.from(bytes, (_, i) => bytes[(i % columns) * rows + Math.floor(i / columns)] as number);
}

/** An array of bytes, in the order of C. */
export class NumpyBytes implements PickleObject {
  shape: readonly number[] = [0];
  bytes: Uint8Array = new Uint8Array();

  /** @param state - version, shape, type, whether the first axis runs fastest, bytes */
  setState(state: PickleValue): void {
    const [, shape, type, isFortran, bytes] = Array.isArray(state) ? state : [];
    if (!Array.isArray(shape) || !shape.every(isSize) || !(bytes instanceof Uint8Array)) {
      throw new Error("the pickle has a wrong numpy array");
    }
    if (!(type instanceof NumpyType) || type.code !== "u1") throw new Error("the numpy array is not of bytes");
    const [rows = 1, columns = 1, ...more] = shape;
    if (more.length > 0 || bytes.length !== rows * columns) {
      throw new Error(`the numpy array of ${bytes.length} bytes cannot have the shape [${shape.join(", ")}]`);
    }
    this.shape = shape;
    this.bytes = isFortran === true ? transposed(bytes, rows, columns) : bytes;
  }
}

const ndarray: PickleCallable = { call: () => new NumpyBytes() };

/** What a pickle of arrays of bytes names. */
export const numpyNames: ReadonlyMap<string, PickleCallable> = new Map([
  ["numpy.ndarray", ndarray],
  ["numpy.core.multiarray._reconstruct", ndarray],
  ["numpy.dtype", { call: ([code]) => new NumpyType(pickleText(code)) }],
]);
