// One of two processes, of which rank 1 hangs between two collectives: RANK, PORT. Prints the error with which it ends.
import { silentReporter, Team } from "stf";

const [rank, port] = process.argv.slice(2).map(Number);
const team = await Team.join(
  { rank, size: 2, local: rank, localSize: 2, attempt: 0 },
  { host: "127.0.0.1", port, isServed: false },
  { reporter: silentReporter, shouldStop: () => false, patience: { lag: 5 } },
);
team.gather(rank);
// Only the thread hangs that computes; the one that tells the others that the process lives does not.
if (rank === 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 9000);
try {
  team.gather(rank);
} catch (error) {
  console.log(`${error.name}: ${error.message}`);
}
process.exit();
