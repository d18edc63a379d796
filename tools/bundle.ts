/** Bundles modules for browsers with the bundler that comes with Deno. */
import { fileURLToPath } from "node:url";
import { SystemError } from "../bench/base/system_error.ts";

const ROOT = new URL("../", import.meta.url);

/** Options of {@linkcode bundle}. */
export interface BundleOptions {
  /** Whether to shorten names and drop white space (default true). */
  readonly minify?: boolean;
  /** The configuration, whose imports the module uses (default: the suite's own). */
  readonly config?: string;
}

/**
 * Bundles the module at `entry`, with everything that it imports, into the file `out`.
 *
 * @throws {SystemError} with the bundler's message.
 */
export async function bundle(
  entry: string,
  out: string,
  { minify = true, config = fileURLToPath(new URL("deno.json", ROOT)) }: BundleOptions = {},
): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["bundle", "--quiet", "--platform", "browser", "--format", "esm", "--config", config],
      ...(minify ? ["--minify"] : []),
      ...["--output", out, entry],
    ],
    env: { NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  throw new SystemError(`Cannot bundle ${entry}: ${new TextDecoder().decode(stderr).trim()}`);
}
