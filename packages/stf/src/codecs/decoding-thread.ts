/** A thread that decodes batches of images: see decoding-threads.ts. */

import { parentPort } from "node:worker_threads";
import { type DecodedBatch, type FileBatch, packed, unpacked } from "./decoding-batch.js";
import { QuickDecoder } from "./quick-decode.js";

const decoder = await QuickDecoder.load();

parentPort?.on("message", (files: FileBatch) => {
  const images = unpacked(files).map((file) => decoder.decode(file));
  const batch = packed(images.map((image) => image?.bytes ?? new Uint8Array()));
  const result: DecodedBatch = { ...batch, channels: images.map((image) => image?.channels) };
  parentPort?.postMessage(result, [batch.bytes.buffer]);
});
