/** Failures of the device or the system, which other flags would not prevent. */

/** A failure of the device or the system. Its message is one sentence for the user. */
export class SystemError extends Error {
  /** Name of the error class. */
  override readonly name: string = "SystemError";
}
