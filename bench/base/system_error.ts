/** What the device or the system failed at: nothing that other flags would mend. */

/** A failure of the device or the system; `message` is one sentence, fit to be shown as it stands. */
export class SystemError extends Error {
  /** Name of the error class. */
  override readonly name: string = "SystemError";
}
