import { assertEquals } from "@std/assert";
import { findVariant } from "../../kernels/core/registry.ts";
import {
  type Conditions,
  keptProbes,
  sameConditions,
  splitReusable,
  type Wanted,
} from "./kept_rows.ts";
import { latestRows, type ResultRow } from "../results/row.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";

const {
  runtime,
  adapter,
  vendor,
  driver,
  backend,
  software,
  compiler,
  toggles,
  limits,
  case_id: caseId,
} = makeRow();
const CONDITIONS: Conditions = {
  facts: { runtime, adapter, vendor, driver, backend, software, compiler, toggles, limits },
  inputBytes: 6e9,
  timer: { kind: "timestamp" },
  settings: { hot: false, layers: 1, seed: 1 },
};

const wanted = (...names: string[]): Wanted[] =>
  names.map((name) => ({ variant: findVariant(name), params: { LANES: 8 } }));

function row(kernel: string, us: number, changes: Partial<ResultRow> = {}): ResultRow {
  const { stage } = findVariant(kernel);
  const speedup = stage === "dense" || stage === "pipeline" ? 100 / us : null;
  const params = '{"LANES":8}';
  return makeRow({ kernel, stage, params, median_us: us, speedup_vs_dense: speedup, ...changes });
}

const ALL = [row("dense/split", 100), row("pipeline/sparse", 30), row("merge/merge", 5)];

/** The kernels whose rows are kept, and those to measure. */
function split(rows: readonly ResultRow[], ...names: string[]) {
  const { kept, missing } = splitReusable(rows, wanted(...names));
  return [kept.map(({ kernel }) => kernel), missing.map(({ variant }) => variant.name)];
}

Deno.test("sameConditions() leaves out rows that were measured under other conditions", () => {
  const isKept = (changes: Partial<ResultRow>, conditions: Partial<Conditions> = {}) =>
    sameConditions([makeRow(changes)], { ...CONDITIONS, ...conditions }, { caseId }).length === 1;
  assertEquals(isKept({}), true);
  const others: Partial<ResultRow>[] = [
    { adapter: "Other GPU" },
    { driver: "NVIDIA 1" },
    { backend: "metal" },
    { compiler: "tint" },
    { toggles: "disable_robustness" },
    { limits: "chromium" },
    { runtime: "deno 3.0.0" },
    { timer: "wall" },
    { case_id: "another" },
    { seed: 2 },
    { seed: null },
    { data_digest: "01234567" },
    { sets: 1 },
    makeFailedRow(),
    { median_us: null },
    // The sets were too few to be cold, and now there is memory for more.
    { sets: 3, memory_bytes: 1e9 },
  ];
  for (const changes of others) assertEquals([changes, isKept(changes)], [changes, false]);
  assertEquals(isKept({ sets: 3, memory_bytes: 6e9 }), true);
  // A single set was all that memory allowed, and not asked for.
  assertEquals(isKept({ sets: 1, wanted_sets: 9, memory_bytes: 6e9 }), true);
  assertEquals(isKept({ sets: 1, wanted_sets: 9, memory_bytes: 1e9 }), false);
  assertEquals(isKept({ sets: 1, wanted_sets: 1, memory_bytes: 6e9 }), false);
  assertEquals(isKept({ memory_bytes: 24e9 }), true);
  const hot = { settings: { hot: true, layers: 1, seed: 1 } };
  assertEquals([isKept({}, hot), isKept({ sets: 1, cache: "hot" }, hot)], [false, true]);
  const layers = { settings: { hot: false, layers: 100, seed: 1 } };
  const kept = [1, 99, 100, 101].map((sets) => isKept({ sets, memory_bytes: 24e9 }, layers));
  assertEquals(kept, [false, false, true, false]);
  assertEquals(
    sameConditions([makeRow({ data_digest: "01234567" })], CONDITIONS, {
      caseId,
      dataDigest: "01234567",
    }).length,
    1,
  );
});

Deno.test("keptProbes() keeps probes for any inputs, unless one of them is missing", () => {
  const probe = (kernel: string) => makeRow({ kernel, stage: "probe", seed: 7, sets: 1 });
  const rows = [probe("probe/chain"), probe("probe/fma"), ...ALL];
  const reusable = sameConditions(rows, CONDITIONS, { caseId });
  assertEquals(keptProbes(reusable, ["probe/chain", "probe/fma"])?.length, 2);
  assertEquals(keptProbes(reusable, ["probe/chain", "probe/fma", "probe/popcount"]), null);
});

Deno.test("splitReusable() keeps measured rows and returns the missing kernels", () => {
  const names = ["dense/split", "pipeline/sparse", "merge/merge", "score/hamming"];
  assertEquals(split(ALL, ...names), [names.slice(0, 3), ["score/hamming"]]);
  const others = ALL.with(2, row("merge/merge", 5, { params: '{"LANES":4}' }));
  assertEquals(split(others, ...names), [names.slice(0, 2), names.slice(2)]);
  assertEquals(split([], ...names), [[], names]);
});

Deno.test("splitReusable() keeps dense kernels and pipelines together or not at all", () => {
  const names = ["dense/split", "dense/gpt_fast", "pipeline/sparse", "merge/merge"];
  assertEquals(split(ALL, ...names), [["merge/merge"], names.slice(0, 3)]);
  // The pipeline was timed without a dense kernel, or only beside a slower one.
  for (const speedup_vs_dense of [null, 7]) {
    const rows = ALL.with(1, row("pipeline/sparse", 30, { speedup_vs_dense }));
    const [kept, missing] = split(rows, "dense/split", "pipeline/sparse", "merge/merge");
    assertEquals([kept, missing], [["merge/merge"], ["dense/split", "pipeline/sparse"]]);
  }
  // The dense kernels have rows, though this run does not want them.
  assertEquals(split(ALL, "pipeline/sparse"), [["pipeline/sparse"], []]);
});

Deno.test("latestRows() keeps the last row of each kernel and case on a device", () => {
  const rows = [
    makeRow({ median_us: 1 }),
    makeRow({ cache: "hot" }),
    makeRow({ adapter: "Other GPU" }),
    makeFailedRow(),
  ];
  assertEquals(latestRows(rows), [rows[3], rows[1], rows[2]]);
});
