/** The command line of `npm run bench`. */

import { parseArgs } from "node:util";
import type { Device } from "@stf/torch";
import { type Precision, precisions, UsageError } from "stf";
import { type NetworkName, networkNames } from "./networks.js";

/** The parsed flags. */
export interface Flags {
  /** Every row with many rounds, instead of the important ones with few. */
  readonly full: boolean;
  /** Only rows whose name contains it, from the full list. */
  readonly only: string | undefined;
  /** Lists the rows and measures nothing. */
  readonly list: boolean;
  /** A file for all measurements. */
  readonly json: string | undefined;
  /** Prints what each operator of a training step costs, and measures nothing else. */
  readonly profile: NetworkName | undefined;
  /** Precision of the profiled step. */
  readonly precision: Precision;
  /** The device to measure on. */
  readonly device: Device;
}

function oneOf<T extends string>(flag: string, words: readonly T[], text: string): T {
  const found = words.find((word) => word === text);
  if (found === undefined) throw new UsageError(`${flag} must be one of ${words.join(", ")}, found "${text}"`);
  return found;
}

/** @throws UsageError for anything but these flags */
export function parseFlags(args: readonly string[]): Flags {
  const { full, only, list, json, profile, precision, device } = valuesOf(args);
  if (!/^(cpu|cuda(:\d+)?)$/.test(device))
    throw new UsageError(`--device must be cpu, cuda or cuda:N, found "${device}"`);
  if (precision !== undefined && profile === undefined) {
    throw new UsageError("--precision belongs to --profile; choose rows by precision with --only=bf16");
  }
  return {
    full,
    only,
    list,
    json,
    profile: profile === undefined ? undefined : oneOf("--profile", networkNames, profile),
    precision: oneOf("--precision", precisions, precision ?? "fp32"),
    device: device as Device,
  };
}

function valuesOf(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        full: { type: "boolean", default: false },
        only: { type: "string" },
        list: { type: "boolean", default: false },
        json: { type: "string" },
        profile: { type: "string" },
        precision: { type: "string" },
        device: { type: "string", default: "cpu" },
      },
    }).values;
  } catch (error) {
    const [reason] = (error as Error).message.split(/\.\s/);
    throw new UsageError(
      `${reason}; there are --full, --only=TEXT, --list, --json=FILE, --profile=NETWORK, --precision, --device`,
    );
  }
}
