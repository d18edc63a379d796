/** Test support: whether the commit that results name can be found in the history. */

/** What git knows of a checkout's history. */
export interface History {
  /** Whether HEAD is the commit or a descendant of it. */
  has(commit: string): boolean;
}

/** What is wrong with what results name as their commit, in half a sentence; null for nothing. */
export function commitFault(commit: string): string | null {
  if (commit.startsWith("tree-")) return "was measured outside a checkout";
  if (commit.includes("+")) return "was measured with changes that no commit has";
  return /^[0-9a-f]{12,40}$/.test(commit) ? null : "is no commit";
}

/** The history of the checkout at `root`, or in half a sentence why there is none to look into. */
export function historyOf(root: string): History | string {
  try {
    // A package inside somebody's checkout is no part of that one's history.
    Deno.statSync(`${root}/.git`);
  } catch {
    return "this is no git checkout";
  }
  const git = (...args: string[]) => new Deno.Command("git", { args, cwd: root }).outputSync();
  try {
    const { success, stdout, stderr } = git("rev-parse", "--is-shallow-repository");
    const decoder = new TextDecoder();
    if (!success) return `git says "${decoder.decode(stderr).split("\n")[0]}"`;
    if (decoder.decode(stdout).trim() === "true") return "the clone is shallow";
  } catch {
    return "git cannot be run";
  }
  return {
    has: (commit) => git("merge-base", "--is-ancestor", commit, "HEAD").success,
  };
}
