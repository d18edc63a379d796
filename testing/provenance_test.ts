import { assert, assertEquals } from "@std/assert";
import { inFolder } from "./command.ts";
import { commitFault, type History, historyOf } from "./provenance.ts";

const IDENTITY = ["-c", "user.name=T", "-c", "user.email=t@t.test", "-c", "commit.gpgsign=false"];

function git(cwd: string, ...args: string[]): string {
  const { success, stdout } = new Deno.Command("git", { args: [...IDENTITY, ...args], cwd })
    .outputSync();
  assertEquals([args, success], [args, true]);
  return new TextDecoder().decode(stdout).trim();
}

/** An empty commit on the branch that is checked out; its short hash. */
function commit(root: string, message: string): string {
  git(root, "commit", "--quiet", "--allow-empty", "--message", message);
  return git(root, "rev-parse", "--short=12", "HEAD");
}

function known(root: string): History {
  const history = historyOf(root);
  assert(typeof history !== "string", String(history));
  return history;
}

Deno.test("commitFault() accepts only a commit without changes", () => {
  assertEquals(commitFault("78ebe736cc85"), null);
  assertEquals(
    commitFault("35c79ad3dc1c+93511533"),
    "was measured with changes that no commit has",
  );
  assertEquals(commitFault("tree-93511533"), "was measured outside a checkout");
  for (const text of ["", "main", "78ebe7"]) assertEquals(commitFault(text), "is not a commit");
});

Deno.test("historyOf() has HEAD and its ancestors, not other branches or unknown commits", () =>
  inFolder((root) => {
    git(root, "init", "--quiet", "--initial-branch", "main");
    const first = commit(root, "first");
    git(root, "checkout", "--quiet", "-b", "side");
    const side = commit(root, "side");
    git(root, "checkout", "--quiet", "main");
    const last = commit(root, "last");
    const has = (name: string) => known(root).has(name);
    assertEquals([first, last, side, "0123456789ab"].map(has), [true, true, false, false]);
    git(root, "merge", "--quiet", "--no-edit", "side");
    assertEquals(has(side), true);
    return Promise.resolve();
  }));

Deno.test("historyOf() gives the reason if the history cannot be read", () =>
  inFolder((folder) => {
    const [root, shallow, inner] = [`${folder}/full`, `${folder}/shallow`, `${folder}/full/inner`];
    Deno.mkdirSync(inner, { recursive: true });
    assertEquals(historyOf(root), "this is not a git checkout");
    git(root, "init", "--quiet");
    commit(root, "first");
    commit(root, "last");
    assertEquals(historyOf(inner), "this is not a git checkout");
    git(folder, "clone", "--quiet", "--depth", "1", `file://${root}`, shallow);
    assertEquals(historyOf(shallow), "the clone is shallow");
    return Promise.resolve();
  }));
