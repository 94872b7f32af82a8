/** A run that is killed at random moments continues as if nothing had happened; interruption.full.test.ts kills more often. */

import { test } from "vitest";
import { killAgainAndAgain } from "./killed-run.js";

test("20 kills", { timeout: 600_000 }, () => killAgainAndAgain(20, 2));
