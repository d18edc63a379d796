/** Properties of the terminal. */

/** Characters per line of standard output; undefined if it is not a terminal. */
export function terminalWidth(): number | undefined {
  if (!Deno.stdout.isTerminal()) return undefined;
  // Terminals that do not report their width give 0.
  return Deno.consoleSize().columns || undefined;
}
