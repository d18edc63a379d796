/** Progress on stderr: a bar on a terminal, otherwise a line for each new message. */

/** Shows how far a run has come. */
export interface Progress {
  /** Shows the done `fraction` of the whole and a `message` about the current work. */
  update(message: string, fraction: number): void;
  /** Removes the bar, so that other text can be printed. */
  clear(): void;
}

const BAR_CELLS = 24;
const CLEAR_LINE = "\r\x1b[K";

/** The bar as one line of at most `columns` characters. */
export function formatProgress(message: string, fraction: number, columns: number): string {
  const done = Math.min(1, Math.max(0, fraction));
  const cells = Math.round(done * BAR_CELLS);
  const bar = "#".repeat(cells) + "-".repeat(BAR_CELLS - cells);
  return `[${bar}] ${String(Math.floor(100 * done)).padStart(3)}% ${message}`.slice(0, columns);
}

/** Progress on this process's stderr. */
export function createProgress(): Progress {
  const write = (text: string) => {
    try {
      Deno.stderr.writeSync(new TextEncoder().encode(text));
    } catch {
      // A run continues even if its progress cannot be printed.
    }
  };
  if (!Deno.stderr.isTerminal()) {
    let last = "";
    return {
      update(message, fraction) {
        if (message === last) return;
        last = message;
        write(`${String(Math.floor(100 * fraction)).padStart(3)}% ${message}\n`);
      },
      clear() {},
    };
  }
  return {
    // The last column stays free: a full line would wrap.
    update: (message, fraction) =>
      write(CLEAR_LINE + formatProgress(message, fraction, Deno.consoleSize().columns - 1)),
    clear: () => write(CLEAR_LINE),
  };
}
