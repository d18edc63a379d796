/** The version of the suite that is running. Equal revisions mean equal code. */
import { createHash } from "node:crypto";
import config from "../../deno.json" with { type: "json" };
import { statIfThere } from "./files/paths.ts";

/** Version and commit as results record them. */
export interface Revision {
  readonly suiteVersion: string;
  /**
   * The short commit, followed by `+` and a digest of the changes if the sources differ from it.
   * Outside a checkout it is `tree-` and a digest of the sources.
   */
  readonly commit: string;
}

const ROOT = `${import.meta.dirname}/../..`;

/** Paths of the sources that affect results. */
export const SOURCES: readonly string[] = [
  "kernels",
  "bench",
  "fixtures",
  "mod.ts",
  "deno.json",
  "deno.lock",
];

/** Whether a file affects results. Files that a run writes must not change its revision. */
export const isSource = (path: string): boolean =>
  /\.(ts|wgsl|json|lock)$/.test(path) && !path.startsWith("fixtures/results/");

/** Reads the revision of the suite, or of a copy of it at `root`. */
export function readRevision(root = ROOT): Revision {
  return { suiteVersion: config.version, commit: commitOf(root) ?? `tree-${treeDigest(root)}` };
}

/** The commit, with a digest of the changes if there are any; null without git. */
function commitOf(root: string): string | null {
  // A package inside another project's checkout must not take that project's commit.
  if (statIfThere(`${root}/.git`) === null) return null;
  const hash = git(root, "rev-parse", "--short=12", "HEAD");
  const edited = git(root, "diff", "HEAD", "--name-only", "-z", "--no-renames", "--", ...SOURCES);
  const added = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ...SOURCES);
  if (hash === null || edited === null || added === null) return null;
  const changed = `${edited}${added}`.split("\0").filter(isSource).sort();
  return changed.length === 0 ? hash.trim() : `${hash.trim()}+${digestOf(root, changed)}`;
}

/** A digest of every source that a checkout would hold. */
function treeDigest(root: string): string {
  return digestOf(root, SOURCES.flatMap((name) => filesIn(root, name)).filter(isSource).sort());
}

function filesIn(root: string, path: string): string[] {
  const full = `${root}/${path}`;
  const found = statIfThere(full);
  if (found === null) return [];
  if (!found.isDirectory) return [path];
  return Array.from(Deno.readDirSync(full), ({ name }) => `${path}/${name}`)
    .flatMap((entry) => filesIn(root, entry));
}

/** 8 hex digits over the names and contents of files; a missing file has null as its content. */
export function shortDigest(files: Iterable<readonly [string, Uint8Array | null]>): string {
  const hash = createHash("sha256");
  for (const [name, content] of files) {
    hash.update(`${name}\0${content?.length ?? "none"}\0`);
    if (content !== null) hash.update(content);
  }
  return hash.digest("hex").slice(0, 8);
}

/** A digest of files, some of which may have been deleted. */
function digestOf(root: string, paths: readonly string[]): string {
  return shortDigest(paths.map((path) => {
    const full = `${root}/${path}`;
    return [path, statIfThere(full) ? Deno.readFileSync(full) : null] as const;
  }));
}

/** The output of a git command; null if it cannot be run or fails. */
function git(cwd: string, ...args: string[]): string | null {
  try {
    const { success, stdout } = new Deno.Command("git", { args, cwd, stderr: "null" }).outputSync();
    return success ? new TextDecoder().decode(stdout) : null;
  } catch {
    return null;
  }
}
