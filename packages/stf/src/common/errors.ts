/** Errors that a user can fix. The command line shows only the message, in one line. */

/** Options that are invalid or contradict each other. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * Input that cannot be used: a missing or damaged file, a folder that cannot be written. Exit code 1. The message is one
 * line, because many include file names, which may hold line breaks and cursor codes.
 */
export class InputError extends Error {
  override readonly name = "InputError";

  constructor(message: string, options?: ErrorOptions) {
    super(
      message.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`),
      options,
    );
  }
}

/** Another process that shares the work has failed, or cannot be reached. Exit code 1, or 2 if the other one has failed by a {@link UsageError}. */
export class TeamError extends Error {
  override readonly name = "TeamError";
  /** Whether the other process has failed by a {@link UsageError}. */
  readonly isUsage: boolean;

  constructor(message: string, { isUsage = false }: { readonly isUsage?: boolean | undefined } = {}) {
    super(message);
    this.isUsage = isUsage;
  }
}

/** The first line of a message, for libraries whose messages fill pages. */
export function firstLine({ message }: Error): string {
  return message.split("\n", 1)[0] ?? "";
}
