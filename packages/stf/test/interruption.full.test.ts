/** Runs that are killed at random moments continue as if nothing had happened. */

import { test } from "vitest";
import { killAgainAndAgain } from "./killed-run.js";

test("200 kills", { timeout: 3_600_000 }, () => killAgainAndAgain(200, 1));
