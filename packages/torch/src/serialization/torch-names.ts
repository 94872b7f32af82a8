/** The classes and functions that PyTorch's pickles name, and what these names produce here. */

import type { DType } from "../dtype.js";
import { FileFormatError } from "../errors.js";
import { InertClass, InertObject, type PickleCallable, type PickleValue, pickleText } from "./pickle.js";
import { bytesNames } from "./python-bytes.js";
import { isSize, StoredTensor } from "./stored-tensor.js";

const storageDtypes: Readonly<Record<string, DType>> = {
  Double: "float64",
  Float: "float32",
  Half: "float16",
  BFloat16: "bfloat16",
  Long: "int64",
  Int: "int32",
  Short: "int16",
  Char: "int8",
  Byte: "uint8",
  Bool: "bool",
  ComplexDouble: "complex128",
  ComplexFloat: "complex64",
  // Bytes; the tensor determines their type.
  Untyped: "uint8",
};

/** The element type of a storage class that a pickle names; undefined for unsupported ones, such as quantised ones. */
export function dtypeOfStorage(storageClass: PickleValue | undefined): DType | undefined {
  const name = storageClass instanceof InertClass ? storageClass.name : "";
  return storageDtypes[/^torch\.(?:cuda\.|storage\.)?_?(\w+)Storage$/.exec(name)?.[1] ?? ""];
}

const dtypeNames: Readonly<Record<string, DType>> = {
  ...Object.fromEntries(Object.values(storageDtypes).map((dtype) => [dtype, dtype])),
  float: "float32",
  double: "float64",
  half: "float16",
  long: "int64",
};

/** A tensor whose storage type is not supported remains a record. */
function rebuilt(name: string, values: readonly PickleValue[], dtype?: DType): PickleValue {
  const [storage, offset, shape, strides] = values;
  if (storage instanceof InertObject) return new InertObject(name, values);
  return new StoredTensor(storage, offset, shape, strides, dtype);
}

/** The result of calling a class or function; null if the value is neither. */
function instanceOf(called: PickleValue | undefined, values: readonly PickleValue[]): PickleValue {
  const isCallable = typeof called === "object" && called !== null && "call" in called;
  return isCallable ? called.call(values) : null;
}

/** How protocols 0 and 1 write an object: its class, the built-in base class, and the value of the latter. */
function reconstructed([kind, , content]: readonly PickleValue[]): PickleValue {
  const made = instanceOf(kind, []);
  if (made instanceof InertObject) {
    for (const [key, value] of content instanceof Map ? content : []) made.entries.set(key, value);
    for (const value of Array.isArray(content) ? content : []) made.elements.push(value);
  }
  return made;
}

const first: PickleCallable = { call: ([value = null]) => value };

function orderedDict([pairs]: readonly PickleValue[]): PickleValue {
  if (pairs instanceof Map) return new Map(pairs);
  const isPair = (value: PickleValue): value is [PickleValue, PickleValue] =>
    Array.isArray(value) && value.length === 2;
  return new Map(Array.isArray(pairs) ? pairs.filter(isPair) : []);
}

/** The names in PyTorch's pickles besides storage classes, and what they produce here. */
export const torchNames: ReadonlyMap<string, PickleCallable> = new Map<string, PickleCallable>([
  ["torch._utils._rebuild_tensor", { call: (values) => rebuilt("torch._utils._rebuild_tensor", values) }],
  ["torch._utils._rebuild_tensor_v2", { call: (values) => rebuilt("torch._utils._rebuild_tensor_v2", values) }],
  [
    "torch._utils._rebuild_tensor_v3",
    {
      call(values) {
        const name = values[6] instanceof InertClass ? values[6].name.replace(/^torch\./, "") : "";
        const dtype = dtypeNames[name];
        if (!dtype) return new InertObject("torch._utils._rebuild_tensor_v3", values);
        return rebuilt("torch._utils._rebuild_tensor_v3", values, dtype);
      },
    },
  ],
  ["torch._utils._rebuild_parameter", first],
  ["torch._utils._rebuild_parameter_with_state", first],
  ["torch.nn.parameter.Parameter", first],
  [
    "torch._tensor._rebuild_from_type_v2",
    { call: ([rebuild, , values]) => instanceOf(rebuild, Array.isArray(values) ? values : []) },
  ],
  ["torch.Size", first],
  ["collections.OrderedDict", { call: orderedDict }],
  ["collections.defaultdict", { call: () => new Map() }],
  ...bytesNames,
  ...["builtins", "__builtin__"].flatMap((module): [string, PickleCallable][] => [
    [`${module}.set`, { call: ([values]) => new Set(Array.isArray(values) ? values : []) }],
    [`${module}.frozenset`, { call: ([values]) => new Set(Array.isArray(values) ? values : []) }],
  ]),
  ...["copyreg", "copy_reg"].flatMap((module): [string, PickleCallable][] => [
    [`${module}._reconstructor`, { call: reconstructed }],
    [`${module}.__newobj__`, { call: ([kind, ...values]) => instanceOf(kind, values) }],
  ]),
]);

/** Fields of a storage's id in a pickle: its class, its key, and its number of elements. */
export function storageId(id: PickleValue): { dtype: DType | undefined; key: string; length: number } {
  const [kind, storageClass, key, , length] = Array.isArray(id) ? id : [];
  if (kind === undefined || pickleText(kind) !== "storage" || !isSize(length)) {
    throw new FileFormatError("the pickle refers to an object outside itself that is not a storage");
  }
  return { dtype: dtypeOfStorage(storageClass), key: pickleText(key), length };
}
