/** Locks on files. The system releases them when the process that holds them ends or crashes. */

/** A file that this process has locked until it closes the file. */
export interface LockedFile {
  readonly file: Deno.FsFile;
  /** Whether opening created the file. */
  readonly created: boolean;
}

/**
 * Opens a file for appending, creates it if it is missing, and locks it.
 *
 * @returns null if another process holds the lock.
 */
export function openLocked(path: string): LockedFile | null {
  return lockedAt(path, (file) => file.tryLockSync(true));
}

/** Runs `body` while this process holds the lock on the path. */
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
    // The previous holder has replaced or removed the file, so this lock is on a file that is gone.
    opened.file.close();
  }
}

function open(path: string): LockedFile {
  const options = { read: true, append: true } as const;
  try {
    return { file: Deno.openSync(path, { ...options, createNew: true }), created: true };
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    // `create`, because a dangling link exists but has no file yet.
    return { file: Deno.openSync(path, { ...options, create: true }), created: false };
  }
}

function isAt(file: Deno.FsFile, path: string): boolean {
  try {
    const [held, current] = [file.statSync(), Deno.statSync(path)];
    return held.ino === current.ino && held.dev === current.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
