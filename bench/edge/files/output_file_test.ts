import { assert, assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../base/system_error.ts";
import { inFolder } from "../../../testing/command.ts";
import { UsageError } from "../../base/usage_error.ts";
import { checkWritable, writeWhole } from "./output_file.ts";

const posix = Deno.build.os !== "windows";

/** The names in a folder. */
const namesIn = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();

/** Checks that a path can be written, as commands do first, and writes it. */
function write(path: string, content: string): void {
  checkWritable(path);
  writeWhole(path, content);
}

Deno.test("a file is replaced as a whole, keeps its mode, and nothing is left beside it", () =>
  inFolder((folder) => {
    const path = `${folder}/file`;
    write(path, "first");
    if (posix) Deno.chmodSync(path, 0o600);
    const before = Deno.openSync(path);
    write(path, "second");
    // Whoever had it open reads the old one to its end.
    const bytes = new Uint8Array(10);
    assertEquals(new TextDecoder().decode(bytes.subarray(0, before.readSync(bytes)!)), "first");
    before.close();
    assertEquals([Deno.readTextFileSync(path), namesIn(folder)], ["second", ["file"]]);
    if (posix) assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  }));

Deno.test(
  { name: "a link stays, and what it leads to is written", ignore: !posix },
  () =>
    inFolder((folder) => {
      Deno.mkdirSync(`${folder}/far`);
      Deno.writeTextFileSync(`${folder}/far/file`, "old");
      Deno.symlinkSync("far/file", `${folder}/link`);
      Deno.symlinkSync(`${folder}/link`, `${folder}/link-to-link`);
      Deno.symlinkSync("far/new", `${folder}/dangling`);
      for (const link of ["link", "link-to-link"]) {
        write(`${folder}/${link}`, link);
        assertEquals(Deno.readTextFileSync(`${folder}/far/file`), link);
      }
      write(`${folder}/dangling`, "made");
      assertEquals(Deno.readTextFileSync(`${folder}/far/new`), "made");
      assertEquals(namesIn(`${folder}/far`), ["file", "new"]);
      assertEquals(namesIn(folder), ["dangling", "far", "link", "link-to-link"]);
      for (const name of ["dangling", "link", "link-to-link"]) {
        assert(Deno.lstatSync(`${folder}/${name}`).isSymlink);
      }
      Deno.symlinkSync("b", `${folder}/a`);
      Deno.symlinkSync("a", `${folder}/b`);
      assertThrows(() => checkWritable(`${folder}/a`), UsageError, `Cannot write ${folder}/a: `);
    }),
);

Deno.test(
  { name: "a device is written through, and stays one", ignore: !posix },
  () =>
    inFolder((folder) => {
      write("/dev/null", "gone");
      assert(Deno.statSync("/dev/null").isCharDevice);
      Deno.symlinkSync("/dev/null", `${folder}/link`);
      write(`${folder}/link`, "gone");
      assert(Deno.lstatSync(`${folder}/link`).isSymlink);
      assert(Deno.statSync("/dev/null").isCharDevice);
    }),
);

Deno.test(
  { name: "a named pipe gets all of it, once", ignore: !posix },
  () =>
    inFolder(async (folder) => {
      const pipe = `${folder}/pipe`;
      await new Deno.Command("mkfifo", { args: [pipe] }).output();
      // Its reader writes to a file: writing blocks this process.
      const reader = new Deno.Command("sh", { args: ["-c", `cat ${pipe} > ${folder}/read`] })
        .spawn();
      const long = "0123456789".repeat(20_000);
      // Whoever only checks must not end what the reader gets.
      write(pipe, long);
      await reader.status;
      assertEquals(Deno.readTextFileSync(`${folder}/read`), long);
      assert(Deno.lstatSync(pipe).isFifo);
    }),
);

Deno.test(
  { name: "a full disk is the system's failure", ignore: Deno.build.os !== "linux" },
  () => {
    checkWritable("/dev/full");
    assertThrows(
      () => writeWhole("/dev/full", "text"),
      SystemError,
      "Cannot write /dev/full: No space left on device (os error 28).",
    );
  },
);

Deno.test("what cannot be written is the caller's mistake, and leaves nothing", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "");
    for (const path of [folder, `${folder}/file/x`, `${folder}/missing/x`]) {
      assertThrows(() => checkWritable(path), UsageError, `Cannot write ${path}: `);
      assertThrows(() => writeWhole(path, "text"), UsageError, `Cannot write ${path}: `);
    }
    assertEquals(namesIn(folder), ["file"]);
  }));
