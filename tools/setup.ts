/**
 * Makes sure that the machine has a WebGPU adapter.
 * @module
 */
import { run } from "./process.ts";

/** A Linux family and the line that installs Mesa's software Vulkan driver on it. */
interface InstallLine {
  readonly family: RegExp;
  readonly line: string;
}

const INSTALL_LINES: readonly InstallLine[] = [
  {
    family: /\b(debian|ubuntu)\b/,
    line: "sudo apt-get update && sudo apt-get install -y mesa-vulkan-drivers",
  },
  {
    family: /\b(fedora|rhel|centos)\b/,
    line: "sudo dnf install -y mesa-vulkan-drivers vulkan-loader",
  },
  { family: /\barch\b/, line: "sudo pacman -S --needed vulkan-swrast vulkan-icd-loader" },
  { family: /\bsuse\b/, line: "sudo zypper install -y libvulkan_lvp libvulkan1" },
  { family: /\balpine\b/, line: "sudo apk add mesa-vulkan-swrast vulkan-loader" },
];

/** The line that installs a driver on the system that this `/etc/os-release` describes, or null. */
export function installLine(osRelease: string): string | null {
  const ids = osRelease.split("\n").filter((line) => /^ID(_LIKE)?=/.test(line)).join(" ");
  return INSTALL_LINES.find(({ family }) => family.test(ids))?.line ?? null;
}

/**
 * Finds the adapter that a run would use and returns its description. Where there is none, installs
 * a software driver (Debian and Ubuntu, with the rights to do so) or prints how to, and returns
 * null if there is still none.
 */
export async function ensureAdapter(): Promise<string | null> {
  const found = await probeAdapter();
  if (found.description !== null) return found.description;

  const line = Deno.build.os === "linux" ? installLine(readOsRelease()) : null;
  if (line?.includes("apt-get")) {
    const asRoot = await rootPrefix();
    if (asRoot !== null) {
      await installWithApt(asRoot);
      const again = await probeAdapter();
      if (again.description !== null) return again.description;
    }
  }
  console.error(found.reason);
  console.error(
    line === null
      ? "Update the graphics driver of this machine, then try again."
      : `Install a software Vulkan driver with this line, then try again:\n  ${line}`,
  );
  return null;
}

/** Looks in a fresh process, because a driver installed later is invisible to one that looked. */
async function probeAdapter(): Promise<{ description: string | null; reason: string }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${import.meta.dirname}/probe.ts`],
  }).output();
  const decoder = new TextDecoder();
  return {
    description: success ? decoder.decode(stdout).trim() : null,
    reason: decoder.decode(stderr).trim(),
  };
}

async function installWithApt(asRoot: readonly string[]): Promise<void> {
  console.log("No WebGPU adapter found: installing Mesa's software Vulkan driver with apt-get.");
  const apt = [...asRoot, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"];
  // A stale or partly unreachable mirror fails the update, though the install may still succeed.
  await run([...apt, "update"]);
  // The Vulkan loader comes along: the driver package depends on it.
  await run([...apt, "install", "--no-install-recommends", "mesa-vulkan-drivers"]);
}

/** What a command needs in front of it to run as root, or null without the rights. */
async function rootPrefix(): Promise<string[] | null> {
  if (Deno.uid() === 0) return [];
  return await run(["sudo", "-n", "true"]) === 0 ? ["sudo", "-n"] : null;
}

function readOsRelease(): string {
  try {
    return Deno.readTextFileSync("/etc/os-release");
  } catch {
    return "";
  }
}
