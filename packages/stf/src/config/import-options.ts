/** The options of `stf import`. */

import { architectures } from "../networks/architectures.js";
import { preconditioningNames } from "../preconditioning/table.js";
import { choice, text, type Values } from "./fields.js";

/** The options of `stf import`, by name. */
export const importFields = {
  dest: text<string | null>({
    default: null,
    help: "the network snapshot to write, named *.safetensors",
    placeholder: "FILE",
  }),
  which: choice(["auto", "ema", "net"], {
    default: "auto",
    help: "which of the file's networks: the averaged one, or the one being trained; auto: the averaged one if there is one",
  }),
  arch: choice(["auto", ...architectures], { default: "auto", help: "network family; auto: as the file says" }),
  precond: choice(["auto", ...preconditioningNames], {
    default: "auto",
    help: "preconditioning; auto: as the file says, which a plain dictionary of tensors does not",
  }),
} as const;

/** The options of `stf import`, with their values. */
export type ImportOptions = Values<typeof importFields>;
