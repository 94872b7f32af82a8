import { InputError } from "./errors.js";

/** The oldest Node that package.json allows: the oldest that sharp supports. */
export const OLDEST_NODE = "20.9.0";

/** Whether a version, such as `process.versions.node`, is older than that. */
export function isTooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = OLDEST_NODE.split(".").map(Number);
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}

/** @throws InputError on a Node that is too old, where later failures would say less. */
export function checkNode(version = process.versions.node): void {
  if (!isTooOld(version)) return;
  throw new InputError(
    `Node ${OLDEST_NODE} or later is needed, this is ${version} (${process.execPath}); install a current Node`,
  );
}
