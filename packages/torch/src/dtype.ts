/** Element types, devices and memory formats, under PyTorch's names, and their codes inside libtorch. */

/** Element types, under PyTorch's names. */
export type DType =
  | "uint8"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "float16"
  | "float32"
  | "float64"
  | "complex64"
  | "complex128"
  | "bool"
  | "bfloat16";

const codes = {
  uint8: 0,
  int8: 1,
  int16: 2,
  int32: 3,
  int64: 4,
  float16: 5,
  float32: 6,
  float64: 7,
  complex64: 9,
  complex128: 10,
  bool: 11,
  bfloat16: 15,
} as const satisfies Record<DType, number>;

/** Where a tensor is stored: "cpu", "cuda" or "cuda:1". */
export type Device = "cpu" | "cuda" | `cuda:${number}`;

/** A plain number, or a bigint where 64 bits are needed. Whole numbers are passed as integers, as in Python. */
export type Scalar = number | bigint | boolean;

/**
 * The order of the elements in memory. "channelsLast" keeps the channels of a pixel of `[B, C, H, W]` side by side, and
 * "channelsLast3d" those of a voxel of `[B, C, D, H, W]`; "preserve" means the order of the input.
 */
export type MemoryFormat = "contiguous" | "preserve" | "channelsLast" | "channelsLast3d";

const memoryFormatCodes = {
  contiguous: 0,
  preserve: 1,
  channelsLast: 2,
  channelsLast3d: 3,
} as const satisfies Record<MemoryFormat, number>;

const names = new Map<number, DType>(Object.entries(codes).map(([name, code]) => [code, name as DType]));

export function dtypeCode(dtype: DType): number;
export function dtypeCode(dtype: DType | undefined): number | undefined;
export function dtypeCode(dtype: DType | undefined): number | undefined {
  return dtype === undefined ? undefined : codes[dtype];
}

export function memoryFormatCode(format: MemoryFormat | undefined): number | undefined {
  return format === undefined ? undefined : memoryFormatCodes[format];
}

export function dtypeOfCode(code: number): DType {
  const dtype = names.get(code);
  if (!dtype) throw new TypeError(`libtorch's element type number ${code} has no counterpart here`);
  return dtype;
}

/** Typed arrays as they hold the elements of each dtype; half precision arrives as raw 16-bit patterns. */
export interface TypedArrays {
  /** Whole numbers from 0 to 255. */
  uint8: Uint8Array;
  /** Whole numbers from -128 to 127. */
  int8: Int8Array;
  /** Whole numbers of 16 bits. */
  int16: Int16Array;
  /** Whole numbers of 32 bits. */
  int32: Int32Array;
  /** Whole numbers of 64 bits; indices have this type. */
  int64: BigInt64Array;
  /** IEEE half precision, as bit patterns. */
  float16: Uint16Array;
  /** IEEE single precision. */
  float32: Float32Array;
  /** IEEE double precision: JavaScript's numbers. */
  float64: Float64Array;
  /** Pairs of a real and an imaginary part in single precision. */
  complex64: Float32Array;
  /** Pairs of a real and an imaginary part in double precision. */
  complex128: Float64Array;
  /** 0 or 1. */
  bool: Uint8Array;
  /** The upper half of float32, as bit patterns. */
  bfloat16: Uint16Array;
}

/** An array that holds the elements of some dtype. */
export type TypedArray = TypedArrays[DType];

const views: { [D in DType]: new (buffer: ArrayBuffer) => TypedArrays[D] } = {
  uint8: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
  complex64: Float32Array,
  complex128: Float64Array,
  bool: Uint8Array,
  bfloat16: Uint16Array,
};

/** A typed array over `buffer` that reads elements of `dtype`. */
export function viewAs<D extends DType>(dtype: D, buffer: ArrayBuffer): TypedArrays[D] {
  return new views[dtype](buffer);
}

/**
 * The dtype that a typed array holds by default.
 *
 * @throws TypeError for a Uint16Array, which may hold float16 or bfloat16.
 */
export function dtypeOfArray(array: TypedArray): DType {
  if (array instanceof Float32Array) return "float32";
  if (array instanceof Float64Array) return "float64";
  if (array instanceof Int32Array) return "int32";
  if (array instanceof BigInt64Array) return "int64";
  if (array instanceof Uint8Array) return "uint8";
  if (array instanceof Int8Array) return "int8";
  if (array instanceof Int16Array) return "int16";
  throw new TypeError("a Uint16Array may be float16 or bfloat16: name its dtype");
}

/** Bytes of one element. */
export function elementSize(dtype: DType): number {
  const sizes = { uint8: 1, int8: 1, int16: 2, int32: 4, int64: 8, float16: 2, float32: 4, float64: 8 } as const;
  const rest = { complex64: 8, complex128: 16, bool: 1, bfloat16: 2 } as const;
  return { ...sizes, ...rest }[dtype];
}
