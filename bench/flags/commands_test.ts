/** Properties of every command's flag table. */
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { COMPARE_COMMAND } from "../compare/flags.ts";
import { FIT_COMMAND } from "../fit/flags.ts";
import { FRONTIER_COMMAND } from "../frontier/flags.ts";
import { QUALITY_COMMAND } from "../quality/flags.ts";
import { REPORT_COMMAND } from "../report/flags.ts";
import { BENCH_COMMAND } from "../run/flags.ts";
import { TUNE_COMMAND } from "../tune/flags.ts";
import { MUTATE_COMMAND } from "../../tools/mutate.ts";
import { type Command, flagsOf } from "./flag_table.ts";
import { helpText } from "./help_text.ts";

const COMMANDS: Readonly<Record<string, Command>> = {
  bench: BENCH_COMMAND,
  compare: COMPARE_COMMAND,
  fit: FIT_COMMAND,
  frontier: FRONTIER_COMMAND,
  mutate: MUTATE_COMMAND,
  quality: QUALITY_COMMAND,
  report: REPORT_COMMAND,
  tune: TUNE_COMMAND,
};

const namesOf = ({ sections }: Command) => flagsOf(sections).map(([name]) => name);
const benchFlags = namesOf(BENCH_COMMAND);
const allFlags = new Set(["help", "version", ...Object.values(COMMANDS).flatMap(namesOf)]);

for (const [task, command] of Object.entries(COMMANDS)) {
  Deno.test(`${task}: every flag takes its own default`, () => {
    for (const [name, flag] of flagsOf(command.sections)) {
      if (flag.read === undefined || flag.default === undefined) continue;
      flag.read(name, flag.default);
      assertEquals(flag.defaultNote, undefined, `--${name} has two defaults`);
    }
  });

  Deno.test(`${task}: flags contradict and need only flags that exist`, () => {
    const names = namesOf(command);
    assertEquals(names.length, new Set(names).size, "a flag is listed twice");
    for (const [name, { contradicts = [], needs = {} }] of flagsOf(command.sections)) {
      // Flags that tune shares with bench name flags that only bench has.
      const known = task === "tune" ? [...names, ...benchFlags] : names;
      const unknown = [...contradicts, ...Object.keys(needs)].filter((each) =>
        !known.includes(each)
      );
      assertEquals(unknown, [], `--${name} of ${task}`);
    }
  });

  Deno.test(`${task}: the help names only flags that exist, within 100 columns`, () => {
    const help = helpText(command);
    for (const line of help.split("\n")) assertLessOrEqual(line.length, 100, line);
    for (const [, name] of help.matchAll(/(?<!\w)--([a-z][a-z-]*)/g)) {
      assert(allFlags.has(name), `--${name} of ${task}`);
    }
  });
}
