// Loaded before a command: the machine gets the name in STF_TEST_HOST, as if it were another one.
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";

os.hostname = () => process.env.STF_TEST_HOST;
syncBuiltinESMExports();
