import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { readBytes, submit, write } from "../core/run/run.ts";
import { packKv } from "../../fixtures/half.ts";
import type { Trace } from "../../fixtures/trace.ts";
import { readTraceFile, SHIPPED_TRACE } from "../../bench/edge/files/trace_file.ts";
import { randomProjection } from "../maps/random_projection.ts";
import { bufferBytes } from "../core/layout.ts";
import { listCapacity } from "../core/problem/derived.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { projectionProblem } from "../../testing/inputs/trace.ts";
import { createDecoder } from "./decoder.ts";

const { device, uncaptured } = await openTestDevice();
const trace = await readTraceFile(SHIPPED_TRACE);
const { kvLen, headDim, queryHeads, positions } = trace;
const P = projectionProblem(trace);
const { sink: SINK, recent: RECENT } = P;

/** Rows of [count, headDim] as arrays. */
function rowsOf(values: Float32Array): number[][] {
  return Array.from(
    { length: values.length / headDim },
    (_, row) => [...values.subarray(row * headDim, (row + 1) * headDim)],
  );
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}

/** The output of one head for one query, and the tokens that it attended. */
interface Answer {
  readonly out: ArrayLike<number>;
  readonly tokens: readonly number[];
}

/** The GPU's answers, [queries][heads], in trace order. */
async function decodeTrace(map: Uint8Array<ArrayBuffer>, { q, k, v }: Trace): Promise<Answer[][]> {
  // A pipeline that keeps its selection in a buffer.
  const decoder = await createDecoder(device, P, { variant: "pipeline/sparse" });
  const { buffers } = decoder;
  write(device, buffers.keys, packKv(k, P.dtype));
  write(device, buffers.values, packKv(v, P.dtype));
  write(device, buffers.query_map, map);
  write(device, buffers.key_map, map);
  write(device, buffers.lengths, Uint32Array.of(kvLen));
  submit(device, decoder.recordPrompt);
  const queries = rowsOf(q);
  const answers: Answer[][] = [];
  for (const [at, position] of positions.entries()) {
    write(device, buffers.lengths, Uint32Array.of(position + 1));
    const heads = Array.from({ length: queryHeads }, (_, h) => queries[h * positions.length + at]);
    write(device, buffers.q, Float32Array.from(heads.flat()));
    submit(device, decoder.recordStep);
    const [out, selected, counts] = await Promise.all(
      ["out", "selected", "selected_counts"].map((name) =>
        readBytes(device, buffers[name], 0, bufferBytes(P)[name])
      ),
    );
    answers.push(heads.map((_, head) => {
      const [count] = new Uint32Array(counts.buffer, 4 * head, 1);
      return {
        out: new Float32Array(out.buffer, 4 * head * headDim, headDim),
        tokens: [...new Uint32Array(selected.buffer, 4 * head * listCapacity(P), count)],
      };
    }));
  }
  decoder.destroy();
  return answers;
}

/** For each plane, whether the row lies on its positive side. */
function sidesOf(row: readonly number[], planes: readonly number[][]): boolean[] {
  return planes.map((plane) => dot(row, plane) > 0);
}

/** HashAttention with a random projection, written simply and without the suite's references. */
function plainTokens(query: readonly boolean[], keys: readonly (readonly boolean[])[]): number[] {
  const far = keys.map((key) => key.filter((side, bit) => side !== query[bit]).length);
  const all = [...keys.keys()];
  const picks = all.slice(SINK, -RECENT).sort((a, b) => far[a] - far[b])
    .slice(0, Math.floor(keys.length / 32));
  return [...all.slice(0, SINK), ...picks, ...all.slice(-RECENT)];
}

/** A plain program's answers, [queries][heads]. */
function plainAnswers(numbers: Float16Array): Answer[][] {
  const [keys, values, queries] = [trace.k, trace.v, trace.q].map(rowsOf);
  const heads = Array.from({ length: queryHeads }, (_, head) => {
    const start = head * (headDim + 1) * 32;
    const planes = Array.from(
      { length: 32 },
      (_, bit) => Array.from({ length: headDim }, (_, d) => numbers[start + d * 32 + bit]),
    );
    return { planes, keySides: keys.map((key) => sidesOf(key, planes)) };
  });
  return Array.from(positions, (position, at) =>
    heads.map(({ planes, keySides }, head) => {
      const q = queries[head * positions.length + at];
      const tokens = plainTokens(sidesOf(q, planes), keySides.slice(0, position + 1));
      return { tokens, out: plainAttention(q, keys, values, tokens).out };
    }));
}

/** Attention over some tokens, written as simply. */
function plainAttention(
  q: readonly number[],
  keys: readonly number[][],
  values: readonly number[][],
  tokens: readonly number[],
) {
  const logits = tokens.map((token) => dot(q, keys[token]) / Math.sqrt(headDim));
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const weights = logits.map((logit) => Math.exp(logit - highest));
  const total = weights.reduce((a, b) => a + b);
  return {
    out: q.map((_, d) => weights.reduce((sum, w, i) => sum + w * values[tokens[i]][d], 0) / total),
    mass: weights.map((weight) => weight / total),
  };
}

function relativeError(got: ArrayLike<number>, want: readonly number[]): number {
  return Math.hypot(...want.map((x, d) => got[d] - x)) / Math.hypot(...want);
}

/**
 * The error of the answers and the share of the attention they keep, over all queries and heads.
 */
function quality(answers: readonly (readonly Answer[])[]) {
  const [keys, values, queries] = [trace.k, trace.v, trace.q].map(rowsOf);
  const sums = { error: 0, caught: 0, all: 0, middleCaught: 0, middle: 0 };
  answers.forEach((heads, at) =>
    heads.forEach(({ out, tokens }, head) => {
      const q = queries[head * positions.length + at];
      const length = positions[at] + 1;
      const dense = plainAttention(q, keys, values, [...Array(length).keys()]);
      sums.error += relativeError(out, dense.out);
      const isMiddle = (token: number) => token >= SINK && token < length - RECENT;
      dense.mass.forEach((mass, token) => {
        sums.all += mass;
        if (isMiddle(token)) sums.middle += mass;
      });
      for (const token of tokens) {
        sums.caught += dense.mass[token];
        if (isMiddle(token)) sums.middleCaught += dense.mass[token];
      }
    })
  );
  return {
    error: sums.error / (positions.length * queryHeads),
    massTotal: sums.caught / sums.all,
    massMiddle: sums.middleCaught / sums.middle,
  };
}

Deno.test("createDecoder() selects the tokens of a plain program on the shipped trace", async () => {
  const map = randomProjection(P, 1);
  const answers = await decodeTrace(map, trace);
  assertEquals(await decodeTrace(map, trace), answers, "a second run differs");

  const plain = plainAnswers(new Float16Array(map.buffer));
  const [keys, values, queries] = [trace.k, trace.v, trace.q].map(rowsOf);
  let different = 0;
  let picked = 0;
  for (const [at, heads] of plain.entries()) {
    for (const [head, answer] of heads.entries()) {
      const q = queries[head * positions.length + at];
      const wanted = new Set(answer.tokens);
      const { tokens, out } = answers[at][head];
      assertEquals(tokens.length, wanted.size);
      assertEquals(new Set(tokens).size, tokens.length);
      different += tokens.filter((token) => !wanted.has(token)).length;
      const error = relativeError(out, plainAttention(q, keys, values, tokens).out);
      assert(error <= 1e-5, `query ${at}, head ${head}: error ${error}`);
      picked += Math.floor((positions[at] + 1) / 32);
    }
  }
  // A pre-activation close to 0 may have either sign in f32, and move a token over the threshold.
  assert(different <= picked / 500, `${different} of ${picked} picks differ`);

  const [got, want] = [answers, plain].map(quality);
  for (const name of ["massMiddle", "massTotal", "error"] as const) {
    assertAlmostEquals(got[name], want[name], 1e-3, name);
  }
  // A random selection would keep a thirtieth of the middle tokens' mass.
  assert(want.massMiddle > 0.2, `${want.massMiddle}`);
});

Deno.test("trace: no GPU error went uncaught", () => {
  assertEquals(uncaptured, []);
});
