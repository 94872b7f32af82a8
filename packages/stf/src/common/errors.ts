/** What a user can mend. The command line shows the message alone, in one line. */

/** Options that are wrong, or do not fit together. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * Input that cannot be used: a missing or damaged file, a folder that cannot be written. Exit code 1. The message is one
 * line: file names, which may hold line breaks and codes that move the cursor, are part of many.
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

/** The first line of a message, such as a library's that goes on for pages. */
export function firstLine({ message }: Error): string {
  return message.split("\n", 1)[0] ?? "";
}
