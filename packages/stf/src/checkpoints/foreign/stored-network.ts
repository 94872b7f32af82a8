/**
 * Networks as stored in pickles: modules, whose class and tensors form a tree, or dictionaries of tensors. The published
 * snapshots wrap every module in a record that names its class, carries the source text of the module it is defined in, and
 * has its attributes, among them the arguments of its constructor. The source text is ignored.
 */

import { FileFormatError, InertObject, type PickleValue, StoredTensor } from "@stf/torch";

/** The class of a network and its constructor's arguments. */
export interface Construction {
  /** Class name, without the module. */
  readonly className: string;
  /** Arguments by position. */
  readonly values: readonly PickleValue[];
  /** Arguments by name. */
  readonly keywords: ReadonlyMap<PickleValue, PickleValue>;
  /** A named attribute, such as a number given to the constructor or its default. */
  readonly attributes: ReadonlyMap<PickleValue, PickleValue>;
}

/** A loss function beside a network: its class and its attributes. */
export type StoredLoss = Pick<Construction, "className" | "attributes">;

/** A network before its tensors are read. */
export interface StoredNetwork {
  /** Tensors by their names in the state dict. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Undefined for a dictionary of tensors, and for modules that do not keep their arguments. */
  readonly construction?: Construction | undefined;
}

/** Deeper and larger than any network; a tree that contains itself has no end. */
const MOST_LEVELS = 64;
const MOST_MODULES = 100_000;

const PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj";

/** A dictionary, or an instance of a class derived from it. */
export function mapOf(value: PickleValue | undefined): ReadonlyMap<PickleValue, PickleValue> | undefined {
  if (value instanceof Map) return value;
  return value instanceof InertObject && value.entries.size > 0 ? value.entries : undefined;
}

/** The class name and the attributes of an object, in any pickled form. */
function objectOf(
  value: PickleValue,
): { className: string; attributes: ReadonlyMap<PickleValue, PickleValue> } | undefined {
  if (!(value instanceof InertObject)) return undefined;
  if (value.name === PERSISTENT) {
    const meta = mapOf(value.values[0]);
    const attributes = mapOf(meta?.get("state"));
    const className = meta?.get("class_name");
    return attributes && { className: typeof className === "string" ? className : "unnamed", attributes };
  }
  // Objects with slots have a pair: attributes, and slots.
  const attributes = mapOf(Array.isArray(value.state) ? value.state[0] : value.state);
  return attributes && { className: value.name, attributes };
}

/** The attributes of an object that is neither a dictionary nor a module. */
export function attributesOf(value: PickleValue): ReadonlyMap<PickleValue, PickleValue> | undefined {
  const attributes = objectOf(value)?.attributes;
  return attributes && !isModule(attributes) ? attributes : undefined;
}

/** The loss function with which the published programs save a network. */
export function lossBeside(root: PickleValue): StoredLoss | undefined {
  return objectOf(mapOf(root)?.get("loss_fn") ?? null);
}

const isModule = (attributes: ReadonlyMap<PickleValue, PickleValue>): boolean =>
  attributes.get("_parameters") instanceof Map && attributes.get("_modules") instanceof Map;

function nameOf(key: PickleValue): string {
  if (typeof key === "string" && /^[\x20-\x7e]{1,200}$/.test(key)) return key;
  throw new FileFormatError("its network has a part without a proper name");
}

/** The tensors of a module and its parts, under the names of its state dict. */
function stateDictOf(root: PickleValue): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  let modules = 0;
  const visit = (value: PickleValue, prefix: string, level: number): void => {
    if (level > MOST_LEVELS || ++modules > MOST_MODULES) {
      throw new FileFormatError(`its modules are nested without end (${prefix.slice(0, 40)}...)`);
    }
    const attributes = objectOf(value)?.attributes;
    if (!attributes || !isModule(attributes)) {
      throw new FileFormatError(`its part ${JSON.stringify(prefix)} is not a module (${describe(value)})`);
    }
    const temporary = attributes.get("_non_persistent_buffers_set");
    for (const kind of ["_parameters", "_buffers"]) {
      for (const [name, tensor] of mapOf(attributes.get(kind)) ?? []) {
        const path = prefix + nameOf(name);
        if (tensor === null || (kind === "_buffers" && temporary instanceof Set && temporary.has(name))) continue;
        if (!(tensor instanceof StoredTensor)) {
          throw new FileFormatError(`its ${JSON.stringify(path)} is not a supported tensor (${describe(tensor)})`);
        }
        tensors.set(path, tensor);
      }
    }
    for (const [name, part] of mapOf(attributes.get("_modules")) ?? []) {
      if (part !== null) visit(part, `${prefix}${nameOf(name)}.`, level + 1);
    }
  };
  visit(root, "", 0);
  return tensors;
}

function words(value: PickleValue): string {
  if (value instanceof InertObject) return objectOf(value)?.className ?? value.name;
  if (value instanceof StoredTensor) return "a tensor";
  if (value instanceof Map) return `a dictionary of ${value.size}`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** A few words for a value that is not used: its class, or its kind. One line, whatever it is. */
export function describe(value: PickleValue): string {
  const text = words(value).replace(/[^\x20-\x7e]/g, "?");
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Of a network, or of the one wrapped by compilers, averages or parallel training. */
function constructionOf({ className, attributes }: NonNullable<ReturnType<typeof objectOf>>): Construction | undefined {
  const values = attributes.get("_init_args");
  const keywords = mapOf(attributes.get("_init_kwargs"));
  if (keywords) return { className, values: Array.isArray(values) ? values : [], keywords, attributes };
  const parts = mapOf(attributes.get("_modules"));
  const inner = objectOf(parts?.get("module") ?? parts?.get("_orig_mod") ?? null);
  return inner && constructionOf(inner);
}

/** A value as a network: a module, or a dictionary of tensors by name. Undefined for anything else. */
export function networkIn(value: PickleValue): StoredNetwork | undefined {
  const object = objectOf(value);
  if (object && isModule(object.attributes)) {
    return { tensors: stateDictOf(value), construction: constructionOf(object) };
  }
  const entries = [...(mapOf(value) ?? [])].filter(
    (entry): entry is [PickleValue, StoredTensor] => entry[1] instanceof StoredTensor,
  );
  if (entries.length === 0) return undefined;
  return { tensors: new Map(entries.map(([name, tensor]) => [nameOf(name), tensor])) };
}
