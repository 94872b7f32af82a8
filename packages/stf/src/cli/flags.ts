/** The library names options as a program writes them, in quotes, such as 'batchGpu' or 'rbatch=all'; a command, its own way. */

import { flagOf } from "../config/fields.js";
import { generateFields } from "../config/generate-options.js";
import { importFields } from "../config/import-options.js";
import { likelihoodFields } from "../config/likelihood-options.js";
import { trainFields } from "../config/train-options.js";

const names = new Set(
  [trainFields, generateFields, likelihoodFields, importFields].flatMap((fields) => Object.keys(fields)),
)
  .add("preset")
  .add("resume");

/** A message of the library with options as they are on the command line. */
export const withFlags = (message: string): string =>
  message.replace(/'([a-zA-Z]\w*)(=[^']*)?'/g, (quoted, name: string, value = "") =>
    names.has(name) ? `${flagOf(name)}${value}` : quoted,
  );
