import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { readRevision } from "./revision.ts";
import { inFolder } from "../../testing/command.ts";

/** Makes a folder with sources and other files, and gives `then` the means to change it. */
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

Deno.test("readRevision() is a digest of the sources outside a checkout", () =>
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

Deno.test("readRevision() adds a digest of changed, added and deleted sources to the commit", () =>
  inTree(({ root, write, git, commit }) => {
    git("init", "--quiet");
    git("add", ".");
    git("commit", "--quiet", "--message", "first");
    const clean = commit();
    assertMatch(clean, /^[0-9a-f]{12}$/);
    // Files that a run writes, and files that do not affect results, do not count as changes.
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
