/** `stf doctor` on the command line. */

import type { Command } from "commander";

/** Sets the command's action. */
export function declare(command: Command): void {
  command.action(async () => {
    const { doctor } = await import("./doctor.js");
    process.exitCode = await doctor();
  });
}
