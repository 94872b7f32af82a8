import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { InputError } from "./errors.js";
import { readProblemOf } from "./folders.js";

/**
 * Identifies a file by its content: SHA-256 in hexadecimal.
 *
 * @throws InputError when it cannot be read
 */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (cause) {
    throw new InputError(`${path} cannot be read: ${readProblemOf(cause)}`, { cause });
  }
  return hash.digest("hex");
}
