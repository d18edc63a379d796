/** Test support: SwiftShader, a Vulkan driver in software that comes with Debian's Chromium. */

const DRIVER = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** The file that names the driver to a Vulkan loader; null if it is not installed. */
export function swiftShader(): string | null {
  try {
    return Deno.statSync(DRIVER).isFile ? DRIVER : null;
  } catch {
    return null;
  }
}
