import {
  arange,
  callOperator,
  complex,
  type DType,
  eye,
  full,
  linspace,
  memory,
  ones,
  ShapeError,
  type Tensor,
  TorchError,
  type TypedArray,
  tensor,
  zeros,
} from "@stf/torch";
import { describe, expect, test } from "vitest";
import { expectClose, scopedTest } from "./support.js";

const samples: [DType, TypedArray][] = [
  ["uint8", new Uint8Array([0, 1, 128, 255])],
  ["int8", new Int8Array([0, -1, -128, 127])],
  ["int16", new Int16Array([0, -1, -32768, 32767])],
  ["int32", new Int32Array([0, -1, -(2 ** 31), 2 ** 31 - 1])],
  ["int64", new BigInt64Array([0n, -1n, -(2n ** 63n), 2n ** 53n + 1n])],
  ["float16", new Uint16Array([0x3c00, 0xc000, 0x7bff, 0x0001])],
  ["bfloat16", new Uint16Array([0x3f80, 0xc000, 0x7f7f, 0x0001])],
  ["float32", new Float32Array([0.1, -0, 3e38, Number.NEGATIVE_INFINITY])],
  ["float64", new Float64Array([0.1, -0, 1e-320, Number.NaN])],
  ["bool", new Uint8Array([1, 0, 0, 1])],
];

describe("numbers in and out", () => {
  for (const [dtype, data] of samples) {
    scopedTest(`${dtype} keeps every bit`, () => {
      const x = tensor(data, { dtype, shape: [2, 2] });
      expect(x.dtype).toBe(dtype);
      expect(x.shape).toEqual([2, 2]);
      expect(x.toTypedArray()).toEqual(data);
    });
  }

  test("a typed array keeps its element type and its window on the buffer", () => {
    const window = new Int16Array([1, 2, 3, 4]).subarray(1, 3);
    using x = tensor(window);
    expect(x.dtype).toBe("int16");
    expect(x.toArray()).toEqual([2, 3]);
  });

  test("a tensor holds a copy", () => {
    const data = new Float32Array([1, 2]);
    using x = tensor(data);
    data[0] = 5;
    (x.toTypedArray() as Float32Array)[1] = 5;
    expect(x.toArray()).toEqual([1, 2]);
  });

  test("bytes as bool are true unless zero", () => {
    using x = tensor(new Uint8Array([2, 0, 255]), { dtype: "bool" });
    expect(x.toTypedArray()).toEqual(new Uint8Array([1, 0, 1]));
  });

  // 1 + 2^-8 and 1 + 3 * 2^-8 lie halfway between neighbours, which are 2^-7 apart.
  test("bfloat16 rounds to the nearest, ties to even", () => {
    using x = tensor([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -3.140625], { dtype: "bfloat16" });
    expect(x.toTypedArray()).toEqual(new Uint16Array([0x3f80, 0x3f80, 0x3f82, 0xc049]));
    expect(x.toFloat32Array()).toEqual(new Float32Array([1, 1, 1 + 2 ** -6, -3.140625]));
  });

  test("float16 covers 2^-24 to 65504", () => {
    using x = tensor([2 ** -24, 65504, 65520], { dtype: "float16" });
    expect(x.toTypedArray()).toEqual(new Uint16Array([0x0001, 0x7bff, 0x7c00]));
  });

  scopedTest("complex numbers arrive as pairs, conjugates included", () => {
    const z = complex(tensor([1, 2]), tensor([3, 4]));
    expect(z.dtype).toBe("complex64");
    expect(z.toTypedArray()).toEqual(new Float32Array([1, 3, 2, 4]));
    const conjugate = callOperator("aten::conj", z) as Tensor;
    expect(conjugate.toTypedArray()).toEqual(new Float32Array([1, -3, 2, -4]));
    expect(conjugate.imag().toTypedArray()).toEqual(new Float32Array([-3, -4]));
  });

  scopedTest("nested arrays become float32, of any rank", () => {
    expect(tensor(1.5).shape).toEqual([]);
    expect(tensor([]).shape).toEqual([0]);
    expect(tensor([[], []]).shape).toEqual([2, 0]);
    const nested = [[[1, 2, 3]], [[4, 5, 6]]];
    const x = tensor(nested);
    expect([x.dtype, x.device, x.shape, x.rank, x.numel]).toEqual(["float32", "cpu", [2, 1, 3], 3, 6]);
    expect(x.toArray()).toEqual(nested);
    expect(
      tensor([1, 2, 3, 4], { shape: [2, 2], dtype: "int64" })
        .select(0, 1)
        .toArray(),
    ).toEqual([3, 4]);
  });

  scopedTest("item reads numbers, booleans and integers", () => {
    expect(tensor(0.1, { dtype: "float64" }).item()).toBe(0.1);
    expect(tensor([[7]], { dtype: "int64" }).item()).toBe(7);
    expect(tensor([1], { dtype: "bool" }).item()).toBe(1);
    expect(() => tensor([1, 2]).item()).toThrow(/aten::item \(self Float\[2\]\)/);
  });
});

describe("creation", () => {
  scopedTest("ranges", () => {
    expect(arange(4).dtype).toBe("int64");
    expect(arange(4).toArray()).toEqual([0, 1, 2, 3]);
    expect(arange(1, 2, 0.25).toArray()).toEqual([1, 1.25, 1.5, 1.75]);
    expect(arange(3, 0, -2, { dtype: "int32" }).toArray()).toEqual([3, 1]);
    expectClose(linspace(0, 1, 5, { dtype: "float64" }), [0, 0.25, 0.5, 0.75, 1], { atol: 0, rtol: 1e-15 });
  });

  scopedTest("constants", () => {
    expect(full([2], 3).dtype).toBe("float32");
    expect(full([2], true, { dtype: "bool" }).toArray()).toEqual([1, 1]);
    expect(full([1], 2n ** 62n, { dtype: "int64" }).toTypedArray()).toEqual(new BigInt64Array([2n ** 62n]));
    expect(eye(2).flatten().toArray()).toEqual([1, 0, 0, 1]);
    expect(zeros([2, 0]).numel).toBe(0);
    const like = ones([2, 3], { dtype: "int16" }).zerosLike();
    expect([like.dtype, like.shape, like.sum().item()]).toEqual(["int16", [2, 3], 0]);
  });
});

describe("layout", () => {
  scopedTest("channels last changes the strides and not the elements", () => {
    const x = arange(0, 120, 1, { dtype: "float32" }).view([2, 3, 4, 5]);
    expect(x.strides).toEqual([60, 20, 5, 1]);
    const y = x.to({ memoryFormat: "channelsLast" });
    expect(y.shape).toEqual([2, 3, 4, 5]);
    expect(y.strides).toEqual([60, 1, 15, 3]);
    expect(y.toTypedArray()).toEqual(x.toTypedArray());
    expect(y.contiguous().strides).toEqual([60, 20, 5, 1]);
  });

  scopedTest("transposed tensors are read in row-major order", () => {
    const x = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] }).t();
    expect(x.strides).toEqual([1, 3]);
    expect(x.toTypedArray()).toEqual(new Float32Array([1, 4, 2, 5, 3, 6]));
  });

  scopedTest("size counts axes from either end", () => {
    const x = zeros([2, 3]);
    expect([x.size(0), x.size(-1)]).toEqual([2, 3]);
    expect(() => x.size(2)).toThrow(ShapeError);
    expect(() => x.size(2)).toThrow("axis 2 is outside the shape [2, 3]");
  });

  scopedTest("to shares the storage when nothing changes, unless a copy is asked for", () => {
    const x = ones([256]);
    const { bytes } = memory();
    x.to({ dtype: "float32", device: "cpu" });
    expect(memory().bytes).toBe(bytes);
    x.to({ dtype: "float32", copy: true });
    expect(memory().bytes).toBe(bytes + 1024);
    expect([x.double().dtype, x.double().float().dtype]).toEqual(["float64", "float32"]);
    expect(tensor([1.9, -1.9]).to({ dtype: "int32" }).toArray()).toEqual([1, -1]);
  });

  scopedTest("a tensor describes itself", () => {
    const x = zeros([2, 3], { dtype: "int16" });
    expect(`${x}`).toBe("Tensor int16[2, 3] cpu");
    x.dispose();
    expect(`${x}`).toBe("Tensor (disposed)");
  });
});

describe("errors", () => {
  const complaints: [what: string, action: () => unknown, message: string][] = [
    [
      "shapes that do not fit",
      () => ones([2, 3]).matmul(ones([4, 5])),
      "aten::matmul (self Float[2, 3], other Float[4, 5]): ",
    ],
    [
      "lists of tensors",
      () => callOperator("aten::cat", [ones([2]), ones([1, 1])]),
      "aten::cat (tensors {Float[2], Float[1, 1]}): ",
    ],
    [
      "a missing argument",
      () => callOperator("aten::add.Tensor", ones([2])),
      "aten::add.Tensor (self Float[2]): argument 'other': it is missing",
    ],
    [
      "too many arguments",
      () => callOperator("aten::neg", ones([2]), 1, 2),
      "aten::neg (self Float[2]): it takes at most 1 arguments, found 3",
    ],
    [
      "a fraction for an integer",
      () => ones([2]).select(0, 1.5),
      "aten::select.int (self Float[2]): argument 'index': expected an integer, found 1.5",
    ],
    ["NaN for an integer", () => zeros([Number.NaN]), "argument 'size': expected an integer, found nan"],
    ["text for a list", () => callOperator("aten::zeros", "two"), "argument 'size': expected an array of integers"],
    ["an unknown device", () => zeros([2], { device: "nowhere" as "cpu" }), "aten::zeros: "],
    ["an index outside", () => ones([2]).select(0, 2), "aten::select.int (self Float[2]): "],
  ];
  for (const [what, action, message] of complaints) {
    scopedTest(what, () => {
      expect(action).toThrow(TorchError);
      expect(action).toThrow(message);
    });
  }

  scopedTest("ragged and misfitting data", () => {
    expect(() => tensor([[1], [2, 3]])).toThrow("differ in length along axis 1: 1 and 2");
    expect(() => tensor([[1], 2])).toThrow("differ in depth");
    expect(() => tensor([1, [2]])).toThrow("differ in depth");
    expect(() => tensor([1, 2, 3], { shape: [2, 2] })).toThrow("3 elements do not fill the shape [2, 2]");
    expect(() => tensor(new Float32Array(3), { shape: [4] })).toThrow(ShapeError);
    expect(() => tensor(new Uint16Array(2))).toThrow("name its dtype");
    expect(() => tensor(new Uint16Array(2), { dtype: "float32", shape: [1] })).toThrow(TypeError);
  });

  test("a failed operator leaves nothing behind", () => {
    const before = memory();
    for (let i = 0; i < 10; i++) {
      using x = ones([100]);
      expect(() => x.view([3])).toThrow();
    }
    expect(memory()).toEqual(before);
  });
});
