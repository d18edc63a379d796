import { assert, assertEquals, assertThrows } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { parseCompareOptions } from "../bench/compare/options.ts";
import { parseFitOptions } from "../bench/fit/options.ts";
import { parseFrontierOptions } from "../bench/frontier/options.ts";
import { parseQualityOptions } from "../bench/quality/options.ts";
import { parseReportOptions } from "../bench/report/options.ts";
import { parseOptions } from "../bench/run/options.ts";
import { parseTuneOptions } from "../bench/tune/options.ts";
import { COMMANDS_DOC, documentedTasks, helpsOf, withHelps } from "./commands_doc.ts";
import { chooseKernels } from "./mutate.ts";
import { parseNpmOptions } from "./npm.ts";
import { parsePageOptions } from "./page.ts";

const document = Deno.readTextFileSync(COMMANDS_DOC);

/** Tasks that take no flags. */
const WITHOUT_HELP = ["sync-shared", "sync-docs"];

/** The parser of each task's flags. A task that forwards its flags has the parser of its target. */
const PARSERS: Readonly<Record<string, (args: readonly string[]) => unknown>> = {
  quickstart: parseOptions,
  test: () => {},
  bench: parseOptions,
  quality: parseQualityOptions,
  fit: parseFitOptions,
  frontier: parseFrontierOptions,
  tune: parseTuneOptions,
  compare: parseCompareOptions,
  report: parseReportOptions,
  mutate: chooseKernels,
  page: parsePageOptions,
  npm: parseNpmOptions,
  "test:browser": () => {},
};

Deno.test("docs/commands.md has a section for every command", () => {
  const tasks = Object.keys(config.tasks).filter((task) => !WITHOUT_HELP.includes(task));
  assertEquals(documentedTasks(document).sort(), tasks.sort());
});

Deno.test("docs/commands.md shows each help text as --help prints it", async () => {
  const synced = withHelps(document, await helpsOf(documentedTasks(document)));
  assertEquals(document, synced, "deno task sync-docs brings it up to date");
});

Deno.test("docs/commands.md has three examples of each command, which its parser accepts", () => {
  const examples = [...document.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, lines]) =>
    lines.trimEnd().split("\n")
  );
  assertEquals(examples.map((lines) => lines.length), documentedTasks(document).map(() => 3));
  for (const [i, task] of documentedTasks(document).entries()) {
    for (const line of examples[i]) {
      assert(line.startsWith(`deno task ${task}`), line);
      PARSERS[task](argumentsOf(line).slice(3));
    }
  }
});

/** The words of a command line, without quotes and comment. */
function argumentsOf(line: string): string[] {
  return Array.from(line.replace(/ +#.*/, "").matchAll(/'([^']*)'|\S+/g), (m) => m[1] ?? m[0]);
}

Deno.test("withHelps() changes the help texts alone", () => {
  const page = (help: string) => `# A\n\n## a\n\nIt is.\n\n\`\`\`text\n${help}\n\`\`\`\n\n## b\n`;
  assertEquals(withHelps(page("old"), new Map([["a", "new\nlines\n"]])), page("new\nlines"));
  assertThrows(() => withHelps(page("old"), new Map()), RangeError, "deno.json has no task a");
});
