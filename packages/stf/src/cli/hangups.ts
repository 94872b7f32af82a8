/** SIGHUP, which ends what runs in a terminal that closes, and `nohup`, which is to keep it from doing so. */

import { readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";

const HANGUP_BIT = 1n;

/** What /proc says of a process, where there is such a folder. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function programOf(process: string | number): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/exe`);
  } catch {
    return undefined;
  }
}

/** Whether the process that started this one ignores SIGHUP, so that this one was to ignore it, too. */
function isIgnoredByParent(): boolean {
  let status = read(`/proc/${process.ppid}/status`);
  // npx is a program of Node and has forgotten what it was to ignore.
  for (let parent: number = process.ppid; parent > 1 && programOf(parent) === programOf("self"); ) {
    parent = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? 0);
    status = read(`/proc/${parent}/status`);
  }
  return (BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`) & HANGUP_BIT) !== 0n;
}

/** In a terminal, GNU's nohup opens /dev/null as an input that cannot be read. */
function isInputOfNohup(): boolean {
  try {
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(read("/proc/self/fdinfo/0"))?.[1] ?? "0", 8);
    return readlinkSync("/proc/self/fd/0") === "/dev/null" && (flags & 3) === 1;
  } catch {
    return false;
  }
}

/**
 * Whether this process was started to ignore SIGHUP, as by nohup. Node takes that back before any JavaScript runs, so other
 * traces have to tell: what the shell says that it started, the process above, and the input.
 */
export function wasToIgnoreHangups(): boolean {
  return basename(process.env["_"] ?? "") === "nohup" || isIgnoredByParent() || isInputOfNohup();
}
