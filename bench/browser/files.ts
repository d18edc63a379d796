/** The files that lie beside the page. */
import { SystemError } from "../base/system_error.ts";
import type { PageBuild } from "./messages.ts";

/**
 * Fetches a file beside the page.
 *
 * @throws {SystemError} in one sentence, if it cannot be fetched.
 */
async function fetchFile(path: string): Promise<Response> {
  const response = await fetch(new URL(path, globalThis.location.href)).catch((error) => {
    throw new SystemError(`Cannot fetch ${path}: ${error.message}.`);
  });
  if (response.ok) return response;
  throw new SystemError(`Cannot fetch ${path}: the server answers ${response.status}.`);
}

/** The bytes of a file beside the page. */
export async function fetchBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await fetchFile(path)).arrayBuffer());
}

/** The text of a file beside the page. */
export async function fetchText(path: string): Promise<string> {
  return await (await fetchFile(path)).text();
}

/** What the build knows. */
export async function fetchBuild(): Promise<PageBuild> {
  return await (await fetchFile("build.json")).json();
}
