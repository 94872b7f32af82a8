import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** Where decoded images are kept between runs: `stf` in `XDG_CACHE_HOME`, else in `.cache` of the home folder. */
export function cacheFolder(): string {
  const { XDG_CACHE_HOME: stated } = process.env;
  return join(stated !== undefined && isAbsolute(stated) ? stated : join(homedir(), ".cache"), "stf");
}
