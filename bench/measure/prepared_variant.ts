/** A variant made ready on a device: compiled, its outputs allocated, its input sets bound. */
import type { Cost, Params, Plan, Stage, Variant } from "../../kernels/core/variant.ts";
import { type CheckResult, verify } from "../../kernels/verify/verify.ts";
import { codeHeads, type Problem } from "../../kernels/core/problem.ts";
import {
  bindProgram,
  type BoundProgram,
  compilePlan,
  recordProgram,
} from "../../kernels/core/program.ts";
import { coldSets, touchedBytes } from "./inputs/cache_rotation.ts";
import { allocateWithin, checkHolds } from "../../kernels/core/device_memory.ts";
import { poison, readBytes, readerOf, submit } from "../../kernels/core/run.ts";
import type { InputSource } from "./inputs/input_source.ts";
import type { Workload } from "./clock/sampler.ts";

/** Stages of the prompt phase: as much work as thousands of decode steps. */
export const PROMPT_STAGES: readonly Stage[] = ["encode_prompt", "prefill"];

/** A variant ready to be checked and timed. */
export interface PreparedVariant extends Workload {
  readonly variant: Variant;
  readonly params: Params;
  readonly plan: Plan;
  readonly cost: Cost;
  /** Input sets that the steps rotate over. */
  readonly sets: number;
  /** Bytes of its inputs that a step touches. */
  readonly touched: number;
  /** The buffers of set `set` by name. */
  buffersOf(set: number): Readonly<Record<string, GPUBuffer>>;
  /** Runs set `set` once on poisoned outputs and scratch. */
  run(set: number): void;
  /** Verifies what the last recorded step left. */
  verifyLast(): Promise<CheckResult>;
  /** Runs set `set` on poisoned outputs and verifies what it left. */
  verify(set: number): Promise<CheckResult>;
  /** Bytes of a buffer of set `set`. */
  read(name: string, set: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Frees what is this prepared's own. */
  destroy(): void;
}

/** Prepares a variant; outputs and scratch are shared by all sets, so that steps stay dependent. */
export async function prepare(
  inputs: InputSource,
  variant: Variant,
  params: Params,
  hot: boolean,
): Promise<PreparedVariant> {
  const { device, problem: p, settings } = inputs;
  const plan = variant.plan(p, params);
  checkHolds(plan, settings.limits);
  const cost = variant.cost(p, params);
  const touched = touchedBytes(p, cost, variant.stage);
  const wanted = hot ? 1 : coldSets(touched);
  const program = await compilePlan(device, plan, { unroll: settings.unroll });
  const specs = Object.entries(plan.buffers);
  const outputs = Object.fromEntries(specs.filter(([, { role }]) => role !== "input"));
  const own = await allocateWithin(device, outputs);
  const buffers: Record<string, GPUBuffer>[] = [];
  const bound: BoundProgram[] = [];
  for (let set = 0; set < wanted; set++) {
    try {
      const of = { ...own };
      for (const [name, spec] of specs) {
        if (spec.role !== "input") continue;
        // Of a cache, an append reads one row: that needs no copies of all the others.
        const copy = variant.stage === "encode_append" && name === "keys" ? set % 2 : set;
        of[name] = await inputs.get(name, spec, params, copy);
      }
      buffers.push(of);
      bound.push(bindProgram(device, program, of));
    } catch (error) {
      // Where memory ends, fewer sets have to do; the row says how many, and whether that is cold.
      if (set > 0 && error instanceof RangeError) break;
      for (const buffer of Object.values(own)) buffer.destroy();
      throw error;
    }
  }

  let lastSet = 0;
  const sets = bound.length;
  const verifySet = (set: number, most = Infinity) =>
    verify(
      variant,
      p,
      params,
      readerOf(device, buffers[set]),
      {
        heads: checkedHeads(p, settings.seed + set).slice(0, most),
        sequences: checkedSequences(p, set).slice(0, most),
        known: inputs.known(set),
        promptTokens: PROMPT_TOKENS,
        prefillTokens: PREFILL_TOKENS,
      },
    );
  const run = (set: number) => {
    for (const [name, buffer] of Object.entries(own)) {
      poison(device, buffer, plan.buffers[name].zeros);
    }
    submit(device, (pass) => recordProgram(pass, bound[set % sets]));
  };
  return {
    name: variant.name,
    variant,
    params,
    plan,
    cost,
    sets,
    touched,
    record(pass, step) {
      lastSet = step % sets;
      recordProgram(pass, bound[lastSet]);
    },
    buffersOf: (set) => buffers[set % sets],
    run,
    verifyLast: () => verifySet(lastSet, LAST_HEADS),
    verify(set) {
      run(set);
      return verifySet(set % sets);
    },
    read: (name, set) => readBytes(device, buffers[set % sets][name], 0, plan.buffers[name].bytes),
    destroy() {
      for (const buffer of Object.values(own)) buffer.destroy();
    },
  };
}

/** Prompt tokens of a list that a check encodes again. */
const PROMPT_TOKENS = 256;

/** Query tokens of a list's prompt that a check attends again. */
const PREFILL_TOKENS = 8;

/** Heads, and sequences, of what the timed steps left: any of them shows that the steps were whole. */
const LAST_HEADS = 2;

/** Multiply-adds of the reference that a check may spend: about a second of one core. */
const CHECK_BUDGET = 5e8;

/** All code heads where the reference is quick, else as many as it can afford, spread by the seed. */
function checkedHeads(p: Problem, seed: number): number[] {
  const heads = codeHeads(p);
  const each = 2 * p.kvLen * p.headDim * (p.qHeads / heads) * Math.min(2, p.batch);
  const affordable = Math.max(1, Math.min(heads, Math.floor(CHECK_BUDGET / each)));
  const stride = heads / affordable;
  const first = seed % heads;
  const chosen = Array.from(
    { length: affordable },
    (_, i) => (first + Math.floor(i * stride)) % heads,
  );
  return [...new Set(chosen)].sort((a, b) => a - b);
}

/** Two sequences at most, other ones for other sets. */
function checkedSequences(p: Problem, set: number): number[] {
  return [...new Set([set % p.batch, (set + p.batch - 1) % p.batch])].sort((a, b) => a - b);
}
