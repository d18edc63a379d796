/**
 * Makes sure that the machine has a WebGPU adapter.
 * @module
 */
import { run } from "./process.ts";

/** A family of Linux distributions and the command that installs Mesa's software driver on it. */
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

/** The command that installs a driver on the system of this `/etc/os-release`, or null. */
export function installLine(osRelease: string): string | null {
  const ids = osRelease.split("\n").filter((line) => /^ID(_LIKE)?=/.test(line)).join(" ");
  return INSTALL_LINES.find(({ family }) => family.test(ids))?.line ?? null;
}

/**
 * Finds the adapter that a run would use and returns its description. If there is none, it installs
 * a software driver (on Debian and Ubuntu, as root or with passwordless sudo) or prints the command
 * that does. It returns null if there is still no adapter.
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

/** Looks in a new process: a process that found no driver does not see one installed later. */
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
  // If a mirror is stale or unreachable the update fails, but the installation may still succeed.
  await run([...apt, "update"]);
  // The driver package depends on the Vulkan loader, which is therefore installed too.
  await run([...apt, "install", "--no-install-recommends", "mesa-vulkan-drivers"]);
}

/** The words that run a command as root, or null if this user may not. */
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
