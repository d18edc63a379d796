/** Command lines as a reader can repeat them. */

/** What to type for `deno task TASK ARGS`. */
export function commandOf(task: string, args: readonly string[]): string {
  return ["deno task", task, ...args.map(quoted)].join(" ");
}

/** The arguments without some flags and their values, as `--NAME VALUE` or `--NAME=VALUE`. */
export function withoutValues(args: readonly string[], names: readonly string[]): string[] {
  const flags = names.map((name) => `--${name}`);
  return args.filter((arg, i) =>
    !flags.includes(arg.split("=")[0]) && !(i > 0 && flags.includes(args[i - 1]))
  );
}

/** An argument as a shell takes it. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
