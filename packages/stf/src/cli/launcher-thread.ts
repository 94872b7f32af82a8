/** A thread that waits for the end of the launcher: see launcher-link.ts. */

import { Socket } from "node:net";
import { GRACE_MILLISECONDS, LINK } from "./launcher-link.js";

const link = new Socket({ fd: LINK, readable: true, writable: false });
link.on("error", () => {});
link.on("close", () => {
  // Like a failed rank's neighbours, this process may finish what it writes.
  process.kill(process.pid, "SIGTERM");
  setTimeout(() => process.kill(process.pid, "SIGKILL"), GRACE_MILLISECONDS);
});
link.resume();
