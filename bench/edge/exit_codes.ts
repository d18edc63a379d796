/** Exit codes of every command. */

/** What the exit code of a command says. */
export const EXIT = {
  /** All that was asked for was done. */
  ok: 0,
  /** What was measured is wrong: a kernel failed its check, or what else a command checks. */
  failed: 1,
  /** The caller's flags or files will not do. */
  usage: 2,
  /** The device or the system failed: no adapter, a lost device, a full disk, a fault in the code. */
  system: 3,
  /** Stopped by Ctrl-C, as shells have it. */
  stopped: 130,
} as const;

/** The part of a command's help that explains its exit codes. */
export interface ExitTerms {
  readonly heading: string;
  readonly terms: readonly (readonly [string, string])[];
}

/**
 * Explains the exit codes of a command.
 *
 * @param ok What 0 means.
 * @param failed What 1 means; null for a command that checks nothing.
 */
export function exitTerms(ok: string, failed: string | null): ExitTerms {
  const meanings: readonly (readonly [number, string | null])[] = [
    [EXIT.ok, ok],
    [EXIT.failed, failed],
    [EXIT.usage, "wrong usage"],
    [EXIT.system, "the device or the system failed: no adapter, a lost device, a full disk"],
    [EXIT.stopped, "stopped by Ctrl-C"],
  ];
  return {
    heading: "Exit code",
    terms: meanings.flatMap(([code, what]) => what === null ? [] : [[String(code), what] as const]),
  };
}
