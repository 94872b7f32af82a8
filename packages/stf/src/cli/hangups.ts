/** SIGHUP, which ends the processes of a closed terminal, and `nohup`, which prevents that. */

import { readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";

const HANGUP_BIT = 1n;

/** An entry of a process in /proc, on systems that have it. */
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

/** Whether the parent process ignores SIGHUP, so that this one was meant to ignore it, too. */
function isIgnoredByParent(): boolean {
  let status = read(`/proc/${process.ppid}/status`);
  // npx runs on Node and has lost the setting.
  for (let parent: number = process.ppid; parent > 1 && programOf(parent) === programOf("self"); ) {
    parent = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? 0);
    status = read(`/proc/${parent}/status`);
  }
  return (BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`) & HANGUP_BIT) !== 0n;
}

/** In a terminal, GNU nohup opens /dev/null as an unreadable input. */
function isInputOfNohup(): boolean {
  try {
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(read("/proc/self/fdinfo/0"))?.[1] ?? "0", 8);
    return readlinkSync("/proc/self/fd/0") === "/dev/null" && (flags & 3) === 1;
  } catch {
    return false;
  }
}

/**
 * Whether this process was started to ignore SIGHUP, as by nohup. Node resets that before any JavaScript runs, so other
 * traces must be used: the command that the shell recorded, the parent process, and the input.
 */
export function wasToIgnoreHangups(): boolean {
  return basename(process.env["_"] ?? "") === "nohup" || isIgnoredByParent() || isInputOfNohup();
}
