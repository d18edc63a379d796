import { assertEquals } from "@std/assert";
import { DEFAULT_LIMITS } from "../../kernels/core/device_limits.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { type TunedEntry, tunedProblem, tuningChecksum } from "../../kernels/core/tuning.ts";
import { casesOf } from "./cases.ts";
import { parseOptions } from "../run/options.ts";
import { chooseParams } from "./tuned_choice.ts";

const limits = DEFAULT_LIMITS;
const facts = { adapter: "Some GPU", driver: "1.0", backend: "vulkan" };
const [{ problem }] = casesOf(parseOptions(["--shape", "8x2x64", "--kv", "1024"]));
const split = findVariant("dense/split");
const defaults = split.defaults(problem, limits);

async function choice(changes: Partial<TunedEntry>) {
  const entry: TunedEntry = {
    ...facts,
    kernel: split.name,
    problem: tunedProblem(problem),
    params: defaults,
    us: 1,
    defaultUs: 2,
    checksum: await tuningChecksum(split, problem),
    ...changes,
  };
  return await chooseParams({ facts, limits, tuning: { entries: [entry] } }, split, problem);
}

Deno.test("chooseParams() takes tuned parameters and notes how they differ", async () => {
  const params = { ...defaults, SPLITS: 9 };
  const note = `tuned, SPLITS 9 (default ${defaults.SPLITS})`;
  assertEquals(await choice({ params }), { params, note });
  assertEquals((await choice({})).note, "tuned, the defaults are best");
});

Deno.test("chooseParams() takes defaults, and notes stale parameters only", async () => {
  const plain = { params: defaults, note: null };
  assertEquals(await chooseParams({ facts, limits }, split, problem), plain);
  assertEquals(await choice({ adapter: "Another GPU" }), plain);
  assertEquals(await choice({ checksum: "of other sources" }), {
    params: defaults,
    note: "its tuned parameters are stale: it has changed since",
  });
});
