/** Answers `--help` and `--version`, before a command reads its other flags. */
import type { Command } from "../flags/flag_table.ts";
import { helpText } from "../flags/help_text.ts";
import { readRevision } from "./revision.ts";
import { terminalWidth } from "./terminal.ts";

/** Prints what `--help`, `-h` or `--version` asks for; false if none of them is given. */
export function printedHelp(args: readonly string[], command: Command): boolean {
  const answer = helpOrVersion(args, helpText(command, terminalWidth()));
  if (answer !== null) console.log(answer);
  return answer !== null;
}

/**
 * The text that `--help`, `-h` or `--version` asks for; null if none of them is given. They win
 * over all other flags, so that a user whose other flags are wrong can still get help.
 */
export function helpOrVersion(args: readonly string[], help: string): string | null {
  const end = args.indexOf("--");
  const flags = end < 0 ? args : args.slice(0, end);
  const asksFor = (...spellings: string[]) => flags.some((arg) => spellings.includes(arg));
  if (asksFor("--help", "-h", "--help=true")) return help;
  return asksFor("--version", "--version=true") ? versionText() : null;
}

/** One line: the suite, its commit and the runtime. */
export function versionText(): string {
  const { suiteVersion, commit } = readRevision();
  return `HashAttention Bench ${suiteVersion} (commit ${commit}), deno ${Deno.version.deno}`;
}
