import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import { parseFitOptions } from "./options.ts";
import { learningRateAt, RECIPES } from "./training/recipe.ts";

const NEEDED = ["--trace", "a,b", "--out", "m"];

Deno.test("parseFitOptions() takes the best recipe by default", () => {
  const options = parseFitOptions(NEEDED);
  assertEquals(options.recipe, RECIPES.best);
  assertEquals([options.traces, options.validation, options.minutes], [["a", "b"], null, Infinity]);
  assertEquals([options.bits, options.layers, options.ropeBase], [32, 3, 500000]);
  assertEquals([options.sharing, options.init, options.recipe.planes], ["head", "random", 0]);
  assertEquals(options.command, "deno task fit --trace a,b");
});

Deno.test("parseFitOptions() changes the recipe, and omits output paths from the command", () => {
  const paper = ["--recipe", "paper", "--top", "256", "--alpha", "10", "--lr", ".01"];
  const rest = ["--steps", "9", "--val", "none", "--rope-base", "none", "--checkpoint", "c"];
  const options = parseFitOptions([...NEEDED, ...paper, ...rest, "--resume"]);
  assertEquals(options.recipe, {
    ...RECIPES.paper,
    loss: { learns: "positives", top: 256, alpha: 10 },
    learningRate: 0.01,
    steps: 9,
  });
  assertEquals([options.validation, options.ropeBase, options.resume], [[], null, true]);
  assertEquals(
    options.command,
    "deno task fit --trace a,b --recipe paper --steps 9 --lr .01 --top 256 --alpha 10 --val none " +
      "--rope-base none",
  );
});

Deno.test("parseFitOptions() reads who owns a map, the planes and the start", () => {
  const flags = ["--layers", "1", "--sharing", "kv", "--planes", "2", "--init", "rotation"];
  const { recipe, sharing, init, command } = parseFitOptions([...NEEDED, ...flags]);
  assertEquals([recipe, sharing, init], [{ ...RECIPES.best, planes: 2 }, "kv", "rotation"]);
  assertEquals(
    command,
    "deno task fit --trace a,b --layers 1 --sharing kv --planes 2 --init rotation",
  );
  const more = ["--recipe", "paper", "--planes", "1", "--key-signs", "straight-through"];
  const paper = parseFitOptions([...NEEDED, ...more]).recipe;
  assertEquals([paper.planes, paper.keySigns], [1, "straight-through"]);
});

Deno.test("parseFitOptions() refuses wrong flags in one sentence", () => {
  const refused = (args: string[], message: string) =>
    assertThrows(() => parseFitOptions(args), UsageError, message);
  refused([], "--trace FILE is needed; --help lists the flags.");
  refused(["--trace", "a"], "--out FILE is needed; --help lists the flags.");
  const cases: [string[], string][] = [
    [["--recipe", "mine"], '--recipe takes one of best, paper, not "mine".'],
    [["--bits", "16"], '--bits takes one of 32, 64, 128, not "16".'],
    [["--layers", "4"], '--layers takes a whole number from 1 to 3, not "4".'],
    [["--sharing", "group"], '--sharing takes one of head, kv, not "group".'],
    [["--planes", "4"], '--planes takes a whole number from 0 to 3, not "4".'],
    [
      ["--key-signs", "soft"],
      "--key-signs is for --planes 1 to 3: without planes, all signs are soft.",
    ],
    [
      ["--planes", "2", "--key-signs", "hard"],
      '--key-signs takes one of soft, straight-through, not "hard".',
    ],
    [["--init", "pca"], '--init takes one of random, rotation, not "pca".'],
    [
      ["--init", "rotation"],
      "--init rotation needs --layers 1, not 3: the rotation is one linear layer.",
    ],
    [["--init", "rotation", "--layers", "2"], "--init rotation needs --layers 1, not 2: "],
    [["--steps", "0"], "--steps takes a whole number from 1 to"],
    [["--minutes", "0"], '--minutes takes a number of minutes from 0.001 to 10080, not "0".'],
    [["--lr", "fast"], '--lr takes a number from 1e-9 to 1, not "fast".'],
    [["--top", "8"], "--top is for --recipe paper: best has no positives."],
    [["--alpha", "8"], "--alpha is for --recipe paper"],
    [["--rope-base", "0"], '--rope-base takes a number from 1 to 1000000000000, not "0".'],
    [["--backend", "cuda"], '--backend takes one of auto, wasm, webgpu, not "cuda".'],
    [["--val", "a,"], '--val has an empty entry in "a,".'],
    [["--resume"], "--resume needs --checkpoint FILE."],
    [["--checkpoint", "m"], "--out and --checkpoint name the same file m."],
    [["--checkpoint", "b"], "b is a trace and would be overwritten."],
  ];
  for (const [args, message] of cases) refused([...NEEDED, ...args], message);
});

Deno.test("learningRateAt() follows the schedule of the recipe", () => {
  const recipe = { ...RECIPES.best, steps: 1000, learningRate: 1 };
  const rates = [0, 49, 500, 999].map((step) => learningRateAt(recipe, step).toFixed(3));
  assertEquals(rates, ["0.020", "0.994", "0.500", "0.000"]);
  assertEquals([0, 7999].map((step) => learningRateAt(RECIPES.paper, step)), [1e-3, 1e-3]);
});
