import { assert, assertEquals, assertMatch } from "@std/assert";

const MODULE = new URL("./mod.ts", import.meta.url);
const PACKAGE = "@hashattention/bench";

/** The example in the module's documentation, as the text of a program. */
async function example(): Promise<string> {
  const [, doc] = (await Deno.readTextFile(MODULE)).match(/^\/\*\*\n([^]*?)\*\//)!;
  const lines = doc.split("\n").map((line) => line.replace(/^ \* ?/, ""));
  const [, code] = lines.join("\n").match(/```ts\n([^]*?)```/)!;
  return code;
}

Deno.test("the example in the module's documentation runs as it stands", async () => {
  const code = await example();
  assert(code.includes(`from "${PACKAGE}"`), "the example does not import the package");
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    // Only where the package comes from is not what a reader would have.
    await Deno.writeTextFile(file, code.replace(PACKAGE, MODULE.href));
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--check", "--quiet", file],
      env: { NO_COLOR: "1", XDG_RUNTIME_DIR: Deno.env.get("XDG_RUNTIME_DIR") ?? "/tmp" },
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert(success, err);
    assertMatch(out, /^head 0 attends token \d+\.\d on average\n$/);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("the package needs web APIs alone: no npm or jsr, nothing of Deno", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    // Without the configuration, whose ambient types are for tests.
    args: ["info", "--no-config", "--json", MODULE.href],
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { specifier: string; local: string }[];
  };
  const root = new URL("./", MODULE).href;
  const kernels = `${root}kernels/`;
  const strangers = modules.map(({ specifier }) => specifier)
    .filter((specifier) => specifier !== MODULE.href && !specifier.startsWith(kernels));
  assertEquals(strangers, []);
  assert(modules.length > 20, `only ${modules.length} modules were found`);
  for (const { specifier, local } of modules) {
    assertEquals(/testing|judge/.test(specifier), false, `${specifier} is for tests`);
    const text = await Deno.readTextFile(local);
    assertEquals(/\bDeno\.|["']Deno["']/.test(text), false, `${specifier} asks for Deno`);
  }
});
