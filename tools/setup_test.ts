import { assertEquals, assertStringIncludes } from "@std/assert";
import { installLine } from "./setup.ts";

Deno.test("installLine() gives the command of each Linux family", () => {
  const cases = {
    'ID=debian\nVERSION_ID="12"': "apt-get",
    "ID=linuxmint\nID_LIKE=ubuntu": "apt-get",
    'ID="rocky"\nID_LIKE="rhel centos fedora"': "dnf",
    "ID=manjaro\nID_LIKE=arch": "pacman",
    'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"': "zypper",
    "ID=alpine": "apk",
  };
  for (const [osRelease, manager] of Object.entries(cases)) {
    assertStringIncludes(installLine(osRelease) ?? "", manager);
  }
});

Deno.test("installLine() is null for an unknown system", () => {
  assertEquals(installLine('ID=other\nHOME_URL="https://debian.example"'), null);
  assertEquals(installLine(""), null);
});
