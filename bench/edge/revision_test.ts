import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { readRevision } from "./revision.ts";
import { inFolder } from "../../testing/command.ts";

/** A folder with sources and other files, with what `then` gets to write and to ask. */
function inTree(then: (tree: Tree) => void): Promise<void> {
  return inFolder((root) => {
    const write = (path: string, text: string) => {
      Deno.mkdirSync(`${root}/${path}`.replace(/\/[^/]+$/, ""), { recursive: true });
      Deno.writeTextFileSync(`${root}/${path}`, text);
    };
    write("kernels/a.wgsl", "fn a() {}");
    write("bench/a.ts", "1;");
    write("bench/NOTES.md", "notes");
    write("mod.ts", "2;");
    const git = (...args: string[]) => {
      const flags = [
        "-c",
        "user.name=T",
        "-c",
        "user.email=t@t.test",
        "-c",
        "commit.gpgsign=false",
      ];
      const { success } = new Deno.Command("git", { args: [...flags, ...args], cwd: root })
        .outputSync();
      assertEquals([args, success], [args, true]);
    };
    then({ root, write, git, commit: () => readRevision(root).commit });
    return Promise.resolve();
  });
}

interface Tree {
  readonly root: string;
  write(path: string, text: string): void;
  git(...args: string[]): void;
  commit(): string;
}

Deno.test("outside a checkout a digest names the sources", () =>
  inTree(({ write, commit }) => {
    const first = commit();
    assertMatch(first, /^tree-[0-9a-f]{8}$/);
    write("bench/NOTES.md", "others");
    write("results/results.csv", "rows");
    assertEquals(commit(), first);
    write("kernels/a.wgsl", "fn b() {}");
    assertNotEquals(commit(), first);
    write("kernels/a.wgsl", "fn a() {}");
    assertEquals(commit(), first);
  }));

Deno.test("in a checkout changed, added and deleted sources have a digest behind the commit", () =>
  inTree(({ root, write, git, commit }) => {
    git("init", "--quiet");
    git("add", ".");
    git("commit", "--quiet", "--message", "first");
    const clean = commit();
    assertMatch(clean, /^[0-9a-f]{12}$/);
    // What a run leaves, and what nobody measures with, is no change.
    write("own/results.csv", "rows");
    write("bench/NOTES.md", "others");
    write("fixtures/results/new.csv", "rows");
    assertEquals(commit(), clean);
    const seen = [clean];
    const isNew = () => {
      assertMatch(commit(), new RegExp(`^${clean}\\+[0-9a-f]{8}$`));
      assertEquals(seen.includes(commit()), false);
      seen.push(commit());
    };
    write("bench/a.ts", "3;");
    isNew();
    git("add", ".");
    assertEquals(commit(), seen.at(-1));
    write("bench/a.ts", "4;");
    isNew();
    write("kernels/b c#.ts", "5;");
    isNew();
    Deno.removeSync(`${root}/mod.ts`);
    isNew();
    git("stash", "--quiet", "--include-untracked");
    assertEquals(commit(), clean);
  }));
