/** Test support: checks that the history contains the commit that results name. */

/** The history of a checkout. */
export interface History {
  /** Whether HEAD is the commit or a descendant of it. */
  has(commit: string): boolean;
}

/** The fault of the commit that results name, as the end of a sentence; null if it has none. */
export function commitFault(commit: string): string | null {
  if (commit.startsWith("tree-")) return "was measured outside a checkout";
  if (commit.includes("+")) return "was measured with changes that no commit has";
  return /^[0-9a-f]{12,40}$/.test(commit) ? null : "is not a commit";
}

/** The history of the checkout at `root`, or a clause with the reason why it cannot be read. */
export function historyOf(root: string): History | string {
  try {
    // A package inside another project's checkout is not part of that project's history.
    Deno.statSync(`${root}/.git`);
  } catch {
    return "this is not a git checkout";
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
