/** Short digests, by which results tell code and data apart. */
import { createHash } from "node:crypto";

/** 8 hex digits over the names and contents of files; null for one that is not there. */
export function shortDigest(files: Iterable<readonly [string, Uint8Array | null]>): string {
  const hash = createHash("sha256");
  for (const [name, content] of files) {
    hash.update(`${name}\0${content?.length ?? "none"}\0`);
    if (content !== null) hash.update(content);
  }
  return hash.digest("hex").slice(0, 8);
}
