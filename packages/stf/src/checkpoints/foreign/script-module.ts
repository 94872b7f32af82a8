/** The tensors of a TorchScript program, whose modules are records of their attributes. The program itself is ignored. */

import { FileFormatError, InertObject, type PickleValue, StoredTensor } from "@stf/torch";

/** Deeper and larger than any network; a tree that contains itself has no end. */
const MOST_LEVELS = 64;
const MOST_MODULES = 100_000;

/** Its tensors by their names in the state dict. */
export function tensorsOfScript(root: PickleValue): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  let modules = 0;
  const visit = (value: PickleValue, prefix: string, level: number): void => {
    if (!(value instanceof InertObject) || !(value.state instanceof Map)) return;
    if (level > MOST_LEVELS || ++modules > MOST_MODULES) {
      throw new FileFormatError("its modules are nested without end");
    }
    for (const [name, attribute] of value.state) {
      if (typeof name !== "string") throw new FileFormatError("a module in it has an attribute without a name");
      if (attribute instanceof StoredTensor) tensors.set(prefix + name, attribute);
      else visit(attribute, `${prefix}${name}.`, level + 1);
    }
  };
  visit(root, "", 0);
  return tensors;
}
