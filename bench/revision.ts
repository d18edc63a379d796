/** Which version of the suite is running. */
import config from "../deno.json" with { type: "json" };

/** Version and commit as results record them. */
export interface Revision {
  readonly suiteVersion: string;
  /** Short commit, `-dirty` appended where tracked files differ; `unknown` outside a checkout. */
  readonly commit: string;
}

/** Reads the revision; never throws. */
export function readRevision(): Revision {
  return { suiteVersion: config.version, commit: readCommit() ?? "unknown" };
}

function readCommit(): string | null {
  try {
    const root = new URL("..", import.meta.url);
    // A package inside somebody's checkout must not take that one's commit.
    Deno.statSync(new URL(".git", root));
    const { success, stdout } = new Deno.Command("git", {
      args: ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
      cwd: root,
      stderr: "null",
    }).outputSync();
    return success ? new TextDecoder().decode(stdout).trim() || null : null;
  } catch {
    return null;
  }
}
