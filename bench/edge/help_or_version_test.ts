import { assertEquals, assertMatch } from "@std/assert";
import { helpOrVersion, versionText } from "./help_or_version.ts";
import { runProgram } from "../../testing/command.ts";

const COMMANDS = [
  ...["run", "quality", "fit", "tune", "compare", "report"].map((name) => `bench/${name}/main.ts`),
  "tools/mutate.ts",
].map((path) => `${import.meta.dirname}/../../${path}`);

Deno.test("helpOrVersion() wins over all other flags, right or wrong", () => {
  const answer = (line: string) => helpOrVersion(line.split(" "), "HELP");
  for (const line of ["--help", "-h", "--frob --help", "--kv x -h", "--version --help"]) {
    assertEquals(answer(line), "HELP");
  }
  assertEquals(answer("--kv x --version"), versionText());
  for (const line of ["--kv 1", "--help=false", "-- --help"]) assertEquals(answer(line), null);
});

Deno.test("tools that forward their flags answer --help and --version themselves", async () => {
  for (const tool of ["quickstart.ts", "check.ts"]) {
    const path = `${import.meta.dirname}/../../tools/${tool}`;
    const help = await runProgram(path, "--help");
    assertEquals([help.code, help.err], [0, ""]);
    assertMatch(help.out, /\n\nUsage: deno task [a-z]+ [^]*Exit code: [^\n]+\n$/);
    assertEquals((await runProgram(path, "--version")).out, `${versionText()}\n`);
  }
});

for (const command of COMMANDS) {
  const name = command.split("/").slice(-2).join("/");
  Deno.test(`${name}: --help and --version print and exit 0, wrong flags exit 2`, async () => {
    const [help, version, wrong] = await Promise.all(
      ["--help", "--version", "--frobnicate"].map((flag) => runProgram(command, flag)),
    );
    assertEquals([help.code, help.err], [0, ""]);
    assertMatch(help.out, /\n\nUsage: deno task [a-z]+ /);
    assertMatch(help.out, /^ +--version /m);
    assertMatch(help.out, /^Exit code\n {2}0 /m);
    assertEquals([version.code, version.err], [0, ""]);
    assertMatch(version.out, /^HashAttention Bench \d+\.\d+\.\d+ \(commit \S+\), deno \S+\n$/);
    assertEquals([wrong.code, wrong.out], [2, ""]);
    assertMatch(wrong.err, /^Unknown flag --frobnicate; --help lists the flags\.\n$/);
  });
}
