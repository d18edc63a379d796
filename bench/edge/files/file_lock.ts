/** Locks on files. The system releases them when their owner ends, however it ends. */

/** A file that this process alone holds until it closes it. */
export interface LockedFile {
  readonly file: Deno.FsFile;
  /** Whether it was made just now. */
  readonly created: boolean;
}

/**
 * Opens a file for appending, made where it is missing, and locks it.
 *
 * @returns null where another process holds it.
 */
export function openLocked(path: string): LockedFile | null {
  return lockedAt(path, (file) => file.tryLockSync(true));
}

/** Runs `body` while no other process is within `body` for the same path. */
export function withLock<T>(path: string, body: (file: Deno.FsFile) => T): T {
  const { file } = lockedAt(path, (file) => {
    file.lockSync(true);
    return true;
  })!;
  try {
    return body(file);
  } finally {
    file.close();
  }
}

function lockedAt(path: string, lock: (file: Deno.FsFile) => boolean): LockedFile | null {
  for (;;) {
    const opened = open(path);
    try {
      if (!lock(opened.file)) {
        opened.file.close();
        return null;
      }
      if (isAt(opened.file, path)) return opened;
    } catch (error) {
      opened.file.close();
      throw error;
    }
    // Whoever held it has replaced or removed it: the lock is on what is there no more.
    opened.file.close();
  }
}

function open(path: string): LockedFile {
  const options = { read: true, append: true } as const;
  try {
    return { file: Deno.openSync(path, { ...options, createNew: true }), created: true };
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    // A link that leads nowhere yet is there and has no file.
    return { file: Deno.openSync(path, { ...options, create: true }), created: false };
  }
}

function isAt(file: Deno.FsFile, path: string): boolean {
  try {
    const [held, there] = [file.statSync(), Deno.statSync(path)];
    return held.ino === there.ino && held.dev === there.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
