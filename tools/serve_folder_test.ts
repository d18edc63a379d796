import { assertEquals } from "@std/assert";
import { serveFolder } from "./serve_folder.ts";

Deno.test("serveFolder() serves the files of its folder alone, with the types of modules", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(`${folder}/in`);
  await Deno.writeTextFile(`${folder}/secret.txt`, "secret");
  await Deno.writeTextFile(`${folder}/in/index.html`, "page");
  await Deno.writeTextFile(`${folder}/in/a.js`, "1;");
  const server = serveFolder(`${folder}/in`, 0);
  try {
    const answers = [];
    for (const path of ["", "a.js", "b.js", "%2e%2e/secret.txt", "..%2fsecret.txt"]) {
      const response = await fetch(`${server.url}${path}`);
      answers.push([response.status, response.headers.get("content-type")?.split(";")[0]]);
      await response.body?.cancel();
    }
    assertEquals(answers.map(([status]) => status), [200, 200, 404, 404, 404]);
    assertEquals([answers[0][1], answers[1][1]], ["text/html", "text/javascript"]);
    const posted = await fetch(server.url, { method: "POST" });
    assertEquals(posted.status, 405);
  } finally {
    await server.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
