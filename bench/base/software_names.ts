/** Recognises software adapters where nothing but their name tells them from GPUs. */

const NAMES = /llvmpipe|lavapipe|swiftshader|basic render/i;

/** Whether an adapter's name is that of a known software adapter. */
export function isSoftwareName(adapter: string): boolean {
  return NAMES.test(adapter);
}
