import { assertEquals } from "@std/assert";
import { run } from "./process.ts";

const posix = Deno.build.os !== "windows";

Deno.test("run() returns the exit codes of a shell", async () => {
  assertEquals(await run([Deno.execPath(), "eval", "Deno.exit(7)"]), 7);
  assertEquals(await run(["no-such-program"]), 127);
  if (posix) assertEquals(await run([import.meta.filename!]), 126);
});

Deno.test(
  { name: "run() passes signals on, and the command decides how to end", ignore: !posix },
  async () => {
    const inner = `Deno.addSignalListener("SIGTERM", () => {
    console.log("told to stop");
    Deno.exit(130);
  });
  console.log("ready");
  setTimeout(() => {}, 60_000);`;
    const outer = `import { run } from ${JSON.stringify(import.meta.resolve("./process.ts"))};
    const command = ${JSON.stringify([Deno.execPath(), "eval", inner])};
    Deno.exit(await run(command, { forward: ["SIGTERM"] }));`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", outer],
      stdout: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    let text = "";
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += part;
      if (text === "ready\n") child.kill("SIGTERM");
    }
    assertEquals([text, (await child.status).code], ["ready\ntold to stop\n", 130]);
  },
);
