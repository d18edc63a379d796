/** `docs/commands.md`: a section for each command, with its help text. */
import config from "../deno.json" with { type: "json" };

/** Location of the document. */
export const COMMANDS_DOC = new URL("../docs/commands.md", import.meta.url);

/** A section: its heading names the task, and a fenced block of text holds the help. */
const SECTION = /^## (\S+)\n([^]*?)^```text\n[^]*?^```$/gm;

/** Tasks that the document describes, in its order. */
export function documentedTasks(document: string): string[] {
  return Array.from(document.matchAll(SECTION), ([, task]) => task);
}

/** Replaces the help text of every task in the document by that in `helps`. */
export function withHelps(document: string, helps: ReadonlyMap<string, string>): string {
  return document.replace(SECTION, (_, task: string, text: string) => {
    const help = helps.get(task);
    if (help === undefined) throw new RangeError(`deno.json has no task ${task}`);
    return `## ${task}\n${text}\`\`\`text\n${help.trimEnd()}\n\`\`\``;
  });
}

/** The text that a task prints for `--help`. */
export async function helpOf(task: string): Promise<string> {
  const tasks: Readonly<Record<string, { readonly command: string }>> = config.tasks;
  const [, ...args] = tasks[task].command.split(" ");
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args, "--help"],
    cwd: new URL("../", import.meta.url),
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** The help texts of tasks by name. */
export async function helpsOf(tasks: readonly string[]): Promise<Map<string, string>> {
  const helps = new Map<string, string>();
  for (const task of tasks) helps.set(task, await helpOf(task));
  return helps;
}
