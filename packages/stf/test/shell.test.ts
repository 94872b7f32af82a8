/** Commands that are printed to be pasted. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ownCommand } from "../src/cli/shell.js";
import { shellQuote } from "../src/common/text.js";

test("a shell reads back what was quoted", () => {
  const words = ["--data=my photos", "it's", 'a "b"', "$HOME", "a\\b", "`x`", "*", "~", "", "new\nline", "plain-1.5/x"];
  const text = execFileSync("sh", ["-c", `printf '%s\\0' ${words.map(shellQuote).join(" ")}`]).toString();
  expect(text.split("\0").slice(0, -1)).toEqual(words);
  expect(shellQuote("--network=runs/00000-a_b/x.safetensors")).toBe("--network=runs/00000-a_b/x.safetensors");
});

test("the command that started this is the one that is printed, and npx only where it finds that", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "stf shell-")));
  const script = join(folder, "project", "main.js");
  const bin = join(folder, "project", "node_modules", ".bin");
  mkdirSync(bin, { recursive: true });
  mkdirSync(join(folder, "project", "data"));
  writeFileSync(script, "");
  writeFileSync(join(folder, "project", "package.json"), "{}");
  writeFileSync(join(folder, "project", "bin.js"), "");
  symlinkSync(join(folder, "project", "bin.js"), join(bin, "stf"));
  symlinkSync(script, join(folder, "stf"));
  expect(ownCommand(script, join(folder, "project", "data"))).toBe("npx stf");
  expect(ownCommand(join(bin, "stf"), join(folder, "project"))).toBe("npx stf");
  expect(ownCommand(script, folder)).toBe(`node '${script}'`);
  expect(ownCommand(join(folder, "stf"), folder)).toBe("stf");
  // Another one that is called the same.
  writeFileSync(join(folder, "other.js"), "");
  expect(ownCommand(join(folder, "other.js"), join(folder, "project"))).toBe(`node '${join(folder, "other.js")}'`);
  rmSync(folder, { recursive: true });
});
