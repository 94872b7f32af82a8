/** Safetensors files with random damage: read, or refused by an error that says so. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  FileFormatError,
  loadSafetensors,
  memory,
  ones,
  saveSafetensors,
  scope,
  type Tensor,
  tensor,
} from "@stf/torch";
import { afterAll, expect, test } from "vitest";
import { Dice, damaged } from "../../../test/mutations.js";

const folder = mkdtempSync(join(tmpdir(), "safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file with several dtypes, an empty and a single tensor, and metadata. */
function validFile(): Uint8Array {
  const path = join(folder, "valid.safetensors");
  scope(() => {
    const tensors = new Map<string, Tensor>([
      ["net.weight", ones([4, 3])],
      ["net.bias", ones([4], { dtype: "bfloat16" })],
      ["bytes", tensor(new Uint8Array([1, 2, 3]))],
      ["empty", ones([0, 2])],
      ["single", ones([], { dtype: "float64" })],
    ]);
    saveSafetensors(path, tensors, { format: "test", clock: '{"images":12}' });
  });
  return readFileSync(path);
}

/** Damage to the header alone, with its length put right: what passes the first check. */
function damagedHeader(valid: Uint8Array, dice: Dice): Uint8Array {
  const end = 8 + Number(Buffer.from(valid).readBigUInt64LE());
  const header = damaged(valid.subarray(8, end), dice);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, valid.subarray(end)]);
}

test.each([
  ["anywhere", damaged],
  ["in the header", damagedHeader],
])("damage %s is survived", (_, damage) => {
  const valid = validFile();
  const path = join(folder, "damaged.safetensors");
  const dice = new Dice(1);
  const before = memory();
  let refused = 0;
  for (let i = 0; i < 10_000; i++) {
    writeFileSync(path, damage(valid, dice));
    try {
      for (const tensor of loadSafetensors(path).tensors.values()) tensor.dispose();
    } catch (error) {
      if (!(error instanceof FileFormatError)) throw new Error(`case ${i}`, { cause: error });
      if (error.message.includes("\n")) throw new Error(`case ${i}: more than one line`, { cause: error });
      refused++;
    }
    if (memory().tensors !== before.tensors) expect.fail(`case ${i} left tensors behind`);
  }
  expect(refused).toBeGreaterThan(1000);
});
