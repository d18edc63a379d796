/** Command lines as a reader can repeat them. */

/** What to type for `deno task TASK ARGS`. */
export function commandOf(task: string, args: readonly string[]): string {
  return ["deno task", task, ...args.map(quoted)].join(" ");
}

/** An argument as a shell takes it. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
