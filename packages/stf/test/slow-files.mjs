/**
 * Preloaded into a process that is to be killed: everything that writes, flushes, renames and removes files pauses before and after, so
 * that a random moment is often one inside a save.
 */

import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

/** How long each of them takes at most, in milliseconds. A file is written in many pieces. */
const longest = { writeSync: 0.4, fsyncSync: 12, closeSync: 12, renameSync: 12, rmSync: 12, ftruncateSync: 12 };

for (const [name, milliseconds] of Object.entries(longest)) {
  const original = fs[name];
  const pause = () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds * Math.random());
  };
  fs[name] = (...args) => {
    // Not those that print.
    if (args[0] === 1 || args[0] === 2) return original(...args);
    pause();
    const result = original(...args);
    pause();
    return result;
  };
}
syncBuiltinESMExports();
