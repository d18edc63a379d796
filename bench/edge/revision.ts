/** Which version of the suite is running. Equal revisions are equal code. */
import { createHash } from "node:crypto";
import config from "../../deno.json" with { type: "json" };
import { statIfThere } from "./files/paths.ts";

/** Version and commit as results record them. */
export interface Revision {
  readonly suiteVersion: string;
  /**
   * Short commit; where the code has changes, `+` and a digest of them behind it; `tree-` and a
   * digest of the sources outside a checkout.
   */
  readonly commit: string;
}

const ROOT = `${import.meta.dirname}/../..`;

/** Where that lies which a measurement depends on. */
export const SOURCES: readonly string[] = [
  "kernels",
  "bench",
  "fixtures",
  "mod.ts",
  "deno.json",
  "deno.lock",
];

/** Files that decide what is measured; those that a run writes must not change its revision. */
export const isSource = (path: string): boolean =>
  /\.(ts|wgsl|json|lock)$/.test(path) && !path.startsWith("fixtures/results/");

/** Reads the revision of the suite, or of a copy of it at `root`. */
export function readRevision(root = ROOT): Revision {
  return { suiteVersion: config.version, commit: commitOf(root) ?? `tree-${treeDigest(root)}` };
}

/** What git says; null without it. */
function commitOf(root: string): string | null {
  // A package inside somebody's checkout must not take that one's commit.
  if (statIfThere(`${root}/.git`) === null) return null;
  const hash = git(root, "rev-parse", "--short=12", "HEAD");
  const named = git(root, "diff", "HEAD", "--name-only", "-z", "--no-renames", "--", ...SOURCES);
  const added = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ...SOURCES);
  if (hash === null || named === null || added === null) return null;
  const changed = `${named}${added}`.split("\0").filter(isSource).sort();
  return changed.length === 0 ? hash.trim() : `${hash.trim()}+${digestOf(root, changed)}`;
}

/** The digest of all that a checkout of the code would hold. */
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

/** 8 hex digits over the names and contents of files; null for one that is not there. */
export function shortDigest(files: Iterable<readonly [string, Uint8Array | null]>): string {
  const hash = createHash("sha256");
  for (const [name, content] of files) {
    hash.update(`${name}\0${content?.length ?? "none"}\0`);
    if (content !== null) hash.update(content);
  }
  return hash.digest("hex").slice(0, 8);
}

/** A digest of files; one that was deleted has no content. */
function digestOf(root: string, paths: readonly string[]): string {
  return shortDigest(paths.map((path) => {
    const full = `${root}/${path}`;
    return [path, statIfThere(full) ? Deno.readFileSync(full) : null] as const;
  }));
}

/** What a git command prints; null where it cannot be run or fails. */
function git(cwd: string, ...args: string[]): string | null {
  try {
    const { success, stdout } = new Deno.Command("git", { args, cwd, stderr: "null" }).outputSync();
    return success ? new TextDecoder().decode(stdout) : null;
  } catch {
    return null;
  }
}
