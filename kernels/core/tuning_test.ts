import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { HandOver, Variant } from "./variant.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { DEFAULT_LIMITS as LIMITS, LARGE_LIMITS } from "./device_limits.ts";
import type { Problem } from "./problem/problem.ts";
import { findVariant, VARIANTS } from "./registry.ts";
import { testCase } from "../../testing/cases/grid.ts";
import {
  tunableParams,
  type TunedEntry,
  tunedParams,
  tunedProblem,
  tuningChecksum,
} from "./tuning.ts";

const KEY = { adapter: "Some GPU", driver: "1.0", backend: "vulkan" };

const { lengths: _, ...p } =
  testCase({ heads: [8, 2], headDim: 64, lengths: [1024], capacity: 1024 }).p;
const split = findVariant("dense/split");
const defaults = split.defaults(p, LIMITS);
const entry: TunedEntry = {
  ...KEY,
  kernel: split.name,
  checksum: await tuningChecksum(split, p),
  problem: tunedProblem(p),
  params: { ...defaults, SPLITS: 8 },
  us: 10,
  defaultUs: 12,
};

async function found(
  changes: Partial<TunedEntry>,
  problem: Problem = p,
): Promise<number | string | null> {
  const tuning = { entries: [{ ...entry, ...changes }] };
  const { params, stale } = await tunedParams(tuning, KEY, split, problem, LIMITS);
  return stale ? "stale" : params?.SPLITS ?? null;
}

Deno.test("tunedParams() finds an entry only for its kernel, device and problem", async () => {
  assertEquals(await found({}), 8);
  for (const name of ["kernel", "adapter", "driver", "backend"]) {
    assertEquals(await found({ [name]: "another" }), null, name);
  }
  for (const name of Object.keys(entry.problem)) {
    assertEquals(await found({ problem: { ...entry.problem, [name]: 3 } }), null, name);
  }
  assertEquals(await found({}, { ...p, lengths: [1024] }), null);
});

Deno.test("tunedParams() prefers entries for the driver to shipped ones", async () => {
  const shipped = { ...entry, driver: null, backend: null, params: { ...defaults, SPLITS: 4 } };
  assertEquals(await found(shipped), 4);
  const { params } = await tunedParams({ entries: [shipped, entry] }, KEY, split, p, LIMITS);
  assertEquals(params?.SPLITS, 8);
});

Deno.test("tunedParams() reports stale entries and skips refused ones", async () => {
  assertEquals(await found({ checksum: "of other sources" }), "stale");
  assertEquals(await found({ params: { ...defaults, WORKGROUP: 512 } }), null);
  assertEquals(await found({ params: { ...defaults, WORKGROUP: 77 } }), null);
  assertEquals(await found({ params: { SPLITS: 8 } }), null);
  assertEquals(await found({ params: { ...defaults, UNKNOWN: 8 } }), null);
});

Deno.test("tuningChecksum() differs with the code, not with comments, white space and names", async () => {
  const changed = (source: (text: string) => string): Variant => ({
    ...split,
    plan: (p, params) => {
      const plan = split.plan(p, params);
      const dispatches = plan.dispatches.map((each) => (
        { ...each, kernel: { ...each.kernel, source: source(each.kernel.source) } }
      ));
      return { ...plan, dispatches };
    },
  });
  const reworded = changed((text) => `// Other words.\n${text.replaceAll("  ", "    ")}`);
  assertEquals(await tuningChecksum(reworded, p), entry.checksum);
  const renamed = changed((text) => text.replaceAll(/\bm_new\b/g, "largest"));
  assertEquals(await tuningChecksum(renamed, p), entry.checksum);
  for (
    const [find, replace] of [
      [" + ", " - "],
      [/\bmax\b/g, "min"], // a name of the language's
      [/\bm_new\b/, "largest"], // one of the names alone
      [/\bHEAD_DIM\b/g, "DIM"], // names that others know
      [/\bkeys\b/g, "rows"],
    ]
  ) {
    const other = changed((text) => text.replace(find, `${replace}`));
    assertNotEquals(await tuningChecksum(other, p), entry.checksum, `${find}`);
  }
});

Deno.test("tuningChecksum() changes with the candidates", async () => {
  const sums = await Promise.all(VARIANTS.map((variant) => tuningChecksum(variant, p)));
  assert(sums.every((sum) => /^[0-9a-f]{64}$/.test(sum)));
  const more = { ...split, tunables: { ...split.tunables, SPLITS: [1, 2] } };
  assertNotEquals(await tuningChecksum(more, p), entry.checksum);
});

Deno.test("tunedParams() takes the hand-over from the device", async () => {
  const fused = findVariant("dense/split_subgroup");
  const limits = { ...LARGE_LIMITS, handOver: "barrier" } as const;
  const params = { ...tunableParams(fused.defaults(p, limits)), SPLITS: 4 };
  assert(!("HAND_OVER" in params));
  const checksum = await tuningChecksum(fused, p);
  const tuning = { entries: [{ ...entry, kernel: fused.name, checksum, params }] };
  for (const [handOver, code] of Object.entries(HAND_OVER_CODE) as [HandOver, number][]) {
    const found = await tunedParams(tuning, KEY, fused, p, { ...limits, handOver });
    assertEquals(found, { params: { ...params, HAND_OVER: code }, stale: false });
  }
});
