/** A contender made ready on a device: compiled, its outputs allocated, its input sets bound. */
import {
  type Contender,
  type Cost,
  costBytes,
  type Params,
  type Plan,
} from "../kernels/contender.ts";
import { judge, type Verdict } from "../kernels/judge.ts";
import { codeHeads, type Problem } from "../kernels/problem.ts";
import {
  allocate,
  bindProgram,
  type BoundProgram,
  checkFits,
  compilePlan,
  recordProgram,
} from "../kernels/program.ts";
import type { InputSets } from "./inputs.ts";
import { poison, readBytes, submitOnce } from "./run_once.ts";
import type { Entrant } from "./sampler.ts";

/** A contender ready to be checked and timed. */
export interface Contestant extends Entrant {
  readonly contender: Contender;
  readonly params: Params;
  readonly plan: Plan;
  readonly cost: Cost;
  /** Input sets that the steps rotate over. */
  readonly sets: number;
  /** Runs set `set` on poisoned outputs and judges what it left. */
  verify(set: number): Promise<Verdict>;
  /** Bytes of a buffer of set `set`. */
  read(name: string, set: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Frees what is this contestant's own. */
  destroy(): void;
}

/** Input sets such that `bytes` a step do not return before `cacheBytes` others were touched. */
export function setsFor(cost: Cost, cacheBytes: number): number {
  return Math.min(1024, Math.ceil(cacheBytes / costBytes(cost)) + 1);
}

/** Prepares a contender; outputs and scratch are shared by all sets, so that steps stay dependent. */
export async function prepare(
  inputs: InputSets,
  contender: Contender,
  params: Params,
  cacheBytes: number,
): Promise<Contestant> {
  const { device, problem: p, settings } = inputs;
  const plan = contender.plan(p, params);
  checkFits(plan, settings.limits);
  const cost = contender.cost(p, params);
  const wanted = cacheBytes === 0 ? 1 : setsFor(cost, cacheBytes);
  const program = await compilePlan(device, plan, { compiler: "naga", unroll: settings.unroll });
  const specs = Object.entries(plan.buffers);
  const own = allocate(device, Object.fromEntries(specs.filter(([, s]) => s.role !== "input")));
  const buffers: Record<string, GPUBuffer>[] = [];
  const bound: BoundProgram[] = [];
  for (let set = 0; set < wanted; set++) {
    const of = { ...own };
    for (const [name, spec] of specs) {
      if (spec.role !== "input") continue;
      const copies = Math.max(2, Math.floor(MOST_COPY_BYTES / spec.bytes));
      of[name] = await inputs.get(name, spec, params, set % copies);
    }
    buffers.push(of);
    bound.push(bindProgram(device, program, of));
  }

  const sets = bound.length;
  return {
    name: contender.name,
    contender,
    params,
    plan,
    cost,
    sets,
    record: (pass, step) => recordProgram(pass, bound[step % sets]),
    verify(set) {
      for (const [name, buffer] of Object.entries(own)) {
        if (plan.buffers[name].role !== "counter") poison(device, buffer);
      }
      submitOnce(device, bound[set % sets]);
      return judge(
        contender,
        p,
        params,
        (name, offset, length) => readBytes(device, buffers[set % sets][name], offset, length),
        {
          heads: checkedHeads(p, settings.seed + set),
          sequences: checkedSequences(p, set),
          promptTokens: PROMPT_TOKENS,
        },
      );
    },
    read: (name, set) => readBytes(device, buffers[set % sets][name], 0, plan.buffers[name].bytes),
    destroy() {
      for (const buffer of Object.values(own)) buffer.destroy();
    },
  };
}

/** Bytes of one input, all its copies together: the newest row of many caches needs no more. */
const MOST_COPY_BYTES = 6e9;

/** Prompt tokens of a list that a check encodes again. */
const PROMPT_TOKENS = 256;

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
