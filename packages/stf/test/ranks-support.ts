/** A command in several processes, as a starter of such starts them, for tests. */

import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import type { Command, Started } from "./cli-support.js";

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** What differs between the processes. */
export interface RankOptions {
  /** Further arguments of a rank. */
  readonly args?: (rank: number) => readonly string[];
  /** Further variables of a rank. */
  readonly env?: (rank: number) => Record<string, string>;
  readonly port?: number;
}

/** Starts a command in `size` processes, with torchrun's variables. */
export async function startRanks(
  { start }: Command,
  size: number,
  command: readonly string[],
  { args = () => [], env = () => ({}), port }: RankOptions = {},
): Promise<Started[]> {
  const meeting = String(port ?? (await freePort()));
  return Array.from({ length: size }, (_, rank) =>
    start([...command, ...args(rank)], {
      ...{ RANK: String(rank), LOCAL_RANK: String(rank), WORLD_SIZE: String(size) },
      ...{ MASTER_ADDR: "127.0.0.1", MASTER_PORT: meeting },
      ...env(rank),
    }),
  );
}
