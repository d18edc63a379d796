import { assert, assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../base/system_error.ts";
import { inFolder } from "../../../testing/command.ts";
import { UsageError } from "../../base/usage_error.ts";
import { checkWritable, writeWhole } from "./output_file.ts";

const posix = Deno.build.os !== "windows";

/** The names in a folder. */
const namesIn = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();

/** Checks that a path can be written and then writes it, as commands do. */
function write(path: string, content: string): void {
  checkWritable(path);
  writeWhole(path, content);
}

Deno.test("writeWhole() replaces a whole file, keeps its mode and leaves nothing beside it", () =>
  inFolder((folder) => {
    const path = `${folder}/file`;
    write(path, "first");
    if (posix) Deno.chmodSync(path, 0o600);
    const before = Deno.openSync(path);
    write(path, "second");
    // A reader that opened the old file still reads it to its end.
    const bytes = new Uint8Array(10);
    assertEquals(new TextDecoder().decode(bytes.subarray(0, before.readSync(bytes)!)), "first");
    before.close();
    assertEquals([Deno.readTextFileSync(path), namesIn(folder)], ["second", ["file"]]);
    if (posix) assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  }));

Deno.test(
  { name: "writeWhole() keeps a link and writes its target", ignore: !posix },
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
  { name: "writeWhole() writes to a device and does not replace it", ignore: !posix },
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
  { name: "writeWhole() writes all bytes to a named pipe, once", ignore: !posix },
  () =>
    inFolder(async (folder) => {
      const pipe = `${folder}/pipe`;
      await new Deno.Command("mkfifo", { args: [pipe] }).output();
      // A separate process reads, because writing blocks this one.
      const reader = new Deno.Command("sh", { args: ["-c", `cat ${pipe} > ${folder}/read`] })
        .spawn();
      const long = "0123456789".repeat(20_000);
      // The check before the write must not end the reader's input.
      write(pipe, long);
      await reader.status;
      assertEquals(Deno.readTextFileSync(`${folder}/read`), long);
      assert(Deno.lstatSync(pipe).isFifo);
    }),
);

Deno.test(
  {
    name: "writeWhole() reports a full disk as a failure of the system",
    ignore: Deno.build.os !== "linux",
  },
  () => {
    checkWritable("/dev/full");
    assertThrows(
      () => writeWhole("/dev/full", "text"),
      SystemError,
      "Cannot write /dev/full: No space left on device (os error 28).",
    );
  },
);

Deno.test("writeWhole() reports an unwritable path as wrong usage, and leaves nothing", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "");
    for (const path of [folder, `${folder}/file/x`, `${folder}/missing/x`]) {
      assertThrows(() => checkWritable(path), UsageError, `Cannot write ${path}: `);
      assertThrows(() => writeWhole(path, "text"), UsageError, `Cannot write ${path}: `);
    }
    assertEquals(namesIn(folder), ["file"]);
  }));
