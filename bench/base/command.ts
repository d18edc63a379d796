/** Command lines to print, so that a reader can repeat them. */

/** The command line of `deno task TASK ARGS`. */
export function commandOf(task: string, args: readonly string[]): string {
  return ["deno task", task, ...args.map(quoted)].join(" ");
}

/** The arguments without the flags `names` and their values (`--NAME VALUE` or `--NAME=VALUE`). */
export function withoutValues(args: readonly string[], names: readonly string[]): string[] {
  const flags = names.map((name) => `--${name}`);
  return args.filter((arg, i) =>
    !flags.includes(arg.split("=")[0]) && !(i > 0 && flags.includes(args[i - 1]))
  );
}

/** An argument, quoted for a shell if necessary. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
