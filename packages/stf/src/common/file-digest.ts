import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

/** Identifies a file by its content: SHA-256 in hexadecimal. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
