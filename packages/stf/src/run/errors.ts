/** What a user can mend. The command line shows the message alone, in one line. */

/** Options that are wrong, or do not fit together. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Input that cannot be used: a missing or damaged file, a folder that cannot be written. Exit code 1. */
export class InputError extends Error {
  override readonly name = "InputError";
}
