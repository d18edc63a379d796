/** Exit codes of every command. */

/** The meaning of each exit code. */
export const EXIT = {
  /** The command did everything that was asked for. */
  ok: 0,
  /** A check failed, for example the verification of a kernel. */
  failed: 1,
  /** The flags or the files are wrong. */
  usage: 2,
  /** The device or the system failed: no adapter, a lost device, a full disk, a bug in the code. */
  system: 3,
  /** Stopped by Ctrl-C; shells use the same code. */
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
 * @param ok Meaning of 0.
 * @param failed Meaning of 1; null for a command that checks nothing.
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
    terms: meanings.flatMap(([code, meaning]) =>
      meaning === null ? [] : [[String(code), meaning] as const]
    ),
  };
}
