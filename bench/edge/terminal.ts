/** What the terminal says of itself. */

/** Characters of a line of standard output; undefined where it is no terminal. */
export function terminalWidth(): number | undefined {
  if (!Deno.stdout.isTerminal()) return undefined;
  // Some terminals do not say, which reads as 0.
  return Deno.consoleSize().columns || undefined;
}
