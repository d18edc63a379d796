import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertMatch,
  assertNotEquals,
} from "@std/assert";
import { importantChannels } from "../selection/channels.ts";
import { attendDense } from "../selection/attention.ts";
import { measure } from "../selection/measure.ts";
import { addSums, figuresOf } from "../selection/measure.ts";
import type { Selector } from "../selection/selector.ts";
import { rotatedSelector } from "../selection/methods/rotated.ts";
import { ORACLE } from "../selection/methods/methods.ts";
import { lastQuarter } from "../selection/last_quarter.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { readTraceFile, SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import { massOf } from "./error.ts";
import { channelsOf, FRONTIER_METHODS } from "./methods.ts";
import { mapped, measured, methodOf, openTestSession, smallTrace } from "./testing_frontier_run.ts";
import { stepsOf } from "./steps.ts";
import { timeMethod } from "./time.ts";

const session = await openTestSession();
const trace = smallTrace();
const small = await mapped(trace);

/** The error and the mass of a selector in f64, on the last queries. */
function exactly(selector: Selector, sparsity: number) {
  const [[heads]] = measure({
    context: lastQuarter(trace),
    selectors: [selector],
    budgets: [{ sparsity }],
    windows: { sink: 16, recent: 16 },
  });
  return figuresOf(heads.reduce(addSums));
}

Deno.test("the device's oracle and rotated codes have the errors that f64 gives them", async () => {
  const { rows, failures } = await measured(session, [small], ["oracle", "rotated-128-w2"]);
  assertEquals(failures, []);
  const oracle = await ORACLE.prepare(lastQuarter(trace), {} as never);
  const rotated = rotatedSelector(lastQuarter(trace), { bits: 128, planes: 2, seed: 1 });
  for (const [method, selector] of Object.entries({ oracle, "rotated-128-w2": rotated })) {
    for (const budget of [4, 8]) {
      const row = rows.find((each) => each.method === method && each.budget === budget)!;
      const { outputRelErr, massTotal } = exactly(selector, budget);
      assertAlmostEquals(row.error!, outputRelErr, 0.002);
      assertAlmostEquals(row.mass!, massTotal, 0.002);
      assertGreater(row.error!, 0.01);
    }
  }
});

Deno.test("quality's f64 and frontier's device agree on the trace that ships", async () => {
  const whole = await readTraceFile(SHIPPED_TRACE);
  const context = lastQuarter(whole);
  const [[heads]] = measure({
    context,
    selectors: [rotatedSelector(context, { bits: 128, planes: 2, seed: 1 })],
    budgets: [{ sparsity: 32 }],
    windows: { sink: 128, recent: 128 },
  });
  const { outputRelErr, massTotal } = figuresOf(heads.reduce(addSums));
  const { rows: [row] } = await measured(session, [await mapped(whole)], ["rotated-128-w2"], {
    budgets: [32],
    shape: { qHeads: 32, kvHeads: 8, headDim: 128 },
    windows: { sink: 128, recent: 128 },
  });
  assertAlmostEquals(row.error!, outputRelErr, 0.002);
  assertAlmostEquals(row.mass!, massTotal, 0.002);
});

Deno.test("a step of another length leaves nothing behind for the next query", async () => {
  // The queries of the second trace come in another order, and alone.
  const order = [...trace.positions.keys()].reverse();
  const turned = {
    ...trace,
    positions: Int32Array.from(order, (i) => trace.positions[i]),
    q: Float32Array.from(
      Array.from({ length: 4 }, (_, head) =>
        order.flatMap((i) => {
          const start = (head * order.length + i) * trace.headDim;
          return [...trace.q.subarray(start, start + trace.headDim)];
        })).flat(),
    ),
  };
  const methods = ["rotated-128-w1", "quest", "double-sparsity-4bit", "pq-4"];
  const { rows } = await measured(session, [small, await mapped(turned, "turned")], methods, {
    budgets: [4],
  });
  for (const method of methods) {
    const [one, other] = rows.filter((row) => row.method === method);
    assertEquals([one.trace, other.trace], ["small", "turned"]);
    assertAlmostEquals(one.error!, other.error!, 1e-5, method);
    assertAlmostEquals(one.mass!, other.mass!, 1e-5, method);
  }
});

Deno.test("windows alone have one step, whatever the budgets", async () => {
  const { rows } = await measured(session, [small], ["streaming"]);
  assertEquals(rows.map(({ budget, bytes_per_token }) => [budget, bytes_per_token]), [[null, 0]]);
});

Deno.test("groups of one head take the heads of a trace apart; larger ones share nothing", async () => {
  const one = { shape: { qHeads: 4, kvHeads: 4, headDim: 64 }, budgets: [4] };
  const alone = await measured(session, [small], ["oracle", "double-sparsity"], one);
  const whole = await measured(session, [small], ["oracle", "double-sparsity"], { budgets: [4] });
  assertEquals(alone.leftOut, []);
  assertAlmostEquals(alone.rows[0].error!, whole.rows[0].error!, 1e-6);
  // Each head has channels of its own.
  assertNotEquals(alone.rows[1].error, whole.rows[1].error);
  const eight = { shape: { qHeads: 16, kvHeads: 2, headDim: 64 }, budgets: [4] };
  const large = await measured(session, [small], ["oracle", "double-sparsity", "hata"], eight);
  assertAlmostEquals(large.rows[0].error!, whole.rows[0].error!, 1e-6);
  assertEquals(large.rows.map(({ method }) => method), ["oracle"]);
  assertMatch(large.leftOut[0], /^double-sparsity: it shares a choice among the query heads/);
});

Deno.test("channels of a KV head are those of its heads' mean, over the first three quarters", () => {
  const p = { qHeads: 4, kvHeads: 4 } as Problem;
  const early = { ...trace, k: trace.k.subarray(0, 240 * trace.headDim) };
  const positions = trace.positions.subarray(0, 3);
  const q = Float32Array.from(
    Array.from({ length: 4 }, (_, head) => {
      const start = head * trace.positions.length * trace.headDim;
      return [...trace.q.subarray(start, start + 3 * trace.headDim)];
    }).flat(),
  );
  const want = importantChannels({ ...early, positions, q }, 16).flat();
  assertEquals([...channelsOf(trace, p)], want);
  assertEquals(channelsOf(trace, { ...p, kvHeads: 1 }).length, 16);
});

Deno.test("a method without a map for a trace is left out there, and says so", async () => {
  const { rows, leftOut } = await measured(session, [small], ["learned", "hata", "streaming"]);
  assertEquals(rows.map(({ method }) => method), ["streaming"]);
  assertEquals(leftOut, [
    "learned on small: it needs a map of the head (--maps)",
    "hata on small: it needs a map of the head (--hata-maps)",
  ]);
});

Deno.test("a run that goes on measures what is missing alone, and gives the same", async () => {
  const methods = ["oracle", "streaming", "pq-2"];
  const settings = { kvLens: [256, 512] };
  const whole = await measured(session, [small], methods, settings);
  const half = whole.written.filter((row) => row.method === "oracle" && row.kv_len === 256);
  const onward = await measured(session, [small], methods, { ...settings, earlier: half });
  const without = (rows: typeof whole.rows) => rows.map(({ utc: _, ...row }) => row);
  assertEquals(without(onward.rows), without(whole.rows));
  assertEquals([onward.kept, onward.written.length], [2, whole.written.length - 2]);
  const none = await measured(session, [small], methods, { ...settings, earlier: whole.written });
  assertEquals([none.written, none.kept], [[], whole.written.length]);
  assertEquals(none.rows, whole.rows);
});

Deno.test("rows of other budgets, windows, data or a half-written step are not kept", async () => {
  const { written } = await measured(session, [small], ["oracle"]);
  const kept = async (changes: Parameters<typeof measured>[3], rows = written) =>
    (await measured(session, [small], ["oracle"], { earlier: rows, ...changes })).kept;
  assertEquals(await kept({}), 2);
  assertEquals(await kept({ budgets: [4] }), 1);
  assertEquals(await kept({ budgets: [4, 16] }), 0);
  assertEquals(await kept({ windows: { sink: 16, recent: 8 } }), 0);
  assertEquals(await kept({}, written.slice(1)), 0);
  assertEquals(await kept({}, written.map((row) => ({ ...row, data_digest: "ffffffff" }))), 0);
  assertEquals(await kept({}, written.map((row) => ({ ...row, driver: "another" }))), 0);
});

Deno.test("a software adapter has bytes and no time", async () => {
  const { rows: [row] } = await measured(session, [small], ["streaming"]);
  assertEquals([row.software, row.us, row.dense_us, row.ratio, row.samples], [
    ...[true, null, null, null, 0],
  ]);
  assert(row.bytes > 0 && row.bytes < row.dense_bytes);
});

Deno.test("timeMethod() verifies and times every budget in turns with dense attention", async () => {
  const steps = stepsOf(methodOf("quest"), null, { qHeads: 4, kvHeads: 1, headDim: 64 }, {
    budgets: [4, 8],
    windows: { sink: 16, recent: 16 },
    kvLen: 512,
  });
  const { steps: times, dense, failures } = await timeMethod(session, methodOf("quest"), steps);
  assertEquals(failures, []);
  assertMatch(dense!.kernel, /^dense\/split/);
  for (const time of [...times, dense]) {
    assert(time !== null && time.us! > 0 && time.samples >= 6);
    assert(time.usLow! <= time.us! && time.us! <= time.usHigh!);
  }
  assertGreater(times[0]!.bytes, times[1]!.bytes);
});

Deno.test("timeMethod() leaves a wrong step without a time, and says so", async () => {
  const { device } = session;
  const create = device.createShaderModule;
  device.createShaderModule = (descriptor) =>
    create.call(
      device,
      descriptor.label?.startsWith("attend/windows") ? { code: "no" } : descriptor,
    );
  try {
    const method = methodOf("streaming");
    const steps = stepsOf(method, null, { qHeads: 4, kvHeads: 1, headDim: 64 }, {
      budgets: [4],
      windows: { sink: 8, recent: 24 },
      kvLen: 512,
    });
    const { steps: times, failures } = await timeMethod(session, method, steps);
    assertEquals(times, [null]);
    assertMatch(failures.join(), /^attend\/windows does not compile/);
  } finally {
    device.createShaderModule = create;
  }
});

Deno.test("a step whose output is wrong has no row, and the run says so", async () => {
  const { device } = session;
  const create = device.createShaderModule;
  device.createShaderModule = (descriptor) => {
    const { label, code } = descriptor as { label?: string; code: string };
    const wrong = label?.startsWith("attend/windows")
      ? code.replaceAll("exp2(", "exp2(0.9 * ")
      : code;
    return create.call(device, { label, code: wrong });
  };
  try {
    const other = await mapped(smallTrace({ headDim: 80 }));
    const shape = { qHeads: 4, kvHeads: 1, headDim: 80 };
    const { rows, failures } = await measured(session, [other], ["streaming"], { shape });
    assertEquals(rows, []);
    assertMatch(failures.join(), /^pipeline\/streaming on small: rival: 4 of 4 lists, /);
  } finally {
    device.createShaderModule = create;
  }
});

Deno.test("massOf() finds the share of the mass from what a logit of all tokens leaves", () => {
  const { weights, total } = attendDense(trace.q.subarray(0, 64), trace.k, trace.v, 300);
  const share = weights.slice(0, 50).reduce((a, b) => a + b) / total;
  const plain = [3, -1, 2];
  assertAlmostEquals(massOf(plain, plain.map((x) => x * share / (1 + share))), share);
  assertEquals(massOf([0, 0], [0, 0]), 0);
  assertAlmostEquals(massOf(plain, plain.map((x) => x / 2)), 1);
});

Deno.test("methods have names of their own and pipelines of the registry", () => {
  const names = FRONTIER_METHODS.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
});
