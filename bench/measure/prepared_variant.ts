/** A variant prepared on a device: compiled, its outputs allocated, its input sets bound. */
import type { BufferSpec, Cost, Plan, Stage, Variant } from "../../kernels/core/variant.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import { type CheckResult, verify } from "../../kernels/verify/verify.ts";
import { ADDING_STAGES, newestRows, remadeNames } from "../../kernels/verify/newest_rows.ts";
import {
  partStart,
  pieceProblem,
  pieceReader,
  type Pieces,
  piecesOf,
  planOn,
  strideOf,
} from "../../kernels/core/pieces.ts";
import { listHeads } from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import {
  bindProgram,
  type BoundProgram,
  compilePlan,
  recordProgram,
} from "../../kernels/core/run/program.ts";
import { copiesOf, type Rotation, touchedBytes, wantedSets } from "./inputs/cache_rotation.ts";
import { allocateWithin, checkHolds } from "../../kernels/core/run/device_memory.ts";
import {
  poison,
  poisonPart,
  readBytes,
  readerOf,
  type RecordPass,
  submit,
} from "../../kernels/core/run/run.ts";
import type { InputSource } from "./inputs/input_source.ts";
import type { Workload } from "./clock/sampler.ts";

/** Stages of the prompt phase. One step of theirs is as much work as thousands of decode steps. */
export const PROMPT_STAGES: readonly Stage[] = ["encode_prompt", "prefill"];

/** A variant that is ready to be verified and timed. */
export interface PreparedVariant extends Workload {
  readonly variant: Variant;
  readonly params: Params;
  readonly plan: Plan;
  readonly cost: Cost;
  /** Input sets that the steps rotate over. */
  readonly sets: number;
  /** Sets that keep the steps cold, for which there may be too little memory. */
  readonly wantedSets: number;
  /** Input bytes that a step touches. */
  readonly touched: number;
  /** The buffers of set `set` by name. */
  buffersOf(set: number): Readonly<Record<string, GPUBuffer>>;
  /** Poisons outputs and scratch, so that only later steps can make them right again. */
  poison(): void;
  /** Runs set `set` once on poisoned outputs and scratch. */
  run(set: number): void;
  /** Verifies the outputs that the last recorded step left. */
  verifyLast(): Promise<CheckResult>;
  /** Runs set `set` on poisoned outputs and rows of the newest tokens, and verifies them. */
  verify(set: number): Promise<CheckResult>;
  /** Bytes of a buffer of set `set`. */
  read(name: string, set: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Frees outputs and scratch. The inputs belong to their source. */
  destroy(): void;
}

/** Prepares a variant. All sets share its outputs and scratch, so that steps stay dependent. */
export async function prepare(
  inputs: InputSource,
  variant: Variant,
  params: Params,
  rotation: Rotation,
): Promise<PreparedVariant> {
  const { device, problem: p, settings } = inputs;
  const plan = planOn(variant, p, params, settings.limits);
  const pieces = piecesOf(p, settings.limits);
  checkHolds(plan, settings.limits);
  const cost = variant.cost(p, params);
  const touched = touchedBytes(p, cost, variant.stage);
  const wanted = wantedSets(touched, rotation);
  const program = await compilePlan(device, plan, { unroll: settings.unroll });
  const specs = Object.entries(plan.buffers);
  const outputs = Object.fromEntries(specs.filter(([, { role }]) => role !== "input"));
  const outputBuffers = await allocateWithin(device, outputs);
  const buffers: Record<string, GPUBuffer>[] = [];
  const bound: BoundProgram[] = [];
  for (let set = 0; set < wanted; set++) {
    try {
      const ofSet = { ...outputBuffers };
      for (const [name, spec] of specs) {
        if (spec.role !== "input") continue;
        const copy = set % copiesOf(name, variant.stage, wanted);
        ofSet[name] = await inputs.get(name, spec, params, copy);
      }
      buffers.push(ofSet);
      bound.push(bindProgram(device, program, ofSet));
    } catch (error) {
      // Out of memory: go on with fewer sets. The row gives their number and whether it is cold.
      if (set > 0 && error instanceof RangeError) break;
      for (const buffer of Object.values(outputBuffers)) buffer.destroy();
      throw error;
    }
  }

  let lastSet = 0;
  const sets = bound.length;
  const scope = { promptTokens: PROMPT_TOKENS, prefillTokens: PREFILL_TOKENS };
  const verifyWhole = (set: number, limit = Infinity) =>
    verify(variant, p, params, readerOf(device, buffers[set]), {
      ...scope,
      heads: checkedHeads(p, settings.seed + set, settings.checkBudget).slice(0, limit),
      sequences: checkedSequences(p, set).slice(0, limit),
      known: inputs.known(set),
    });
  const verifyPieces = async (set: number, parts: Pieces) => {
    const results: CheckResult[] = [];
    for (let piece = 0; piece < parts.count; piece++) {
      const own = pieceProblem(p, parts, piece);
      const read = pieceReader(readerOf(device, buffers[set]), parts, plan, piece);
      results.push(
        await verify(variant, own, params, read, {
          ...scope,
          heads: withEnds(
            checkedHeads(own, settings.seed + set, settings.checkBudget),
            listHeads(own),
          ),
          sequences: checkedSequences(own, set),
          known: inputs.known(set, piece),
        }),
      );
    }
    return joinResults(variant.stage, results);
  };
  const verifySet = (set: number, limit?: number) =>
    pieces ? verifyPieces(set, pieces) : verifyWhole(set, limit);
  const poisonNewest = async (set: number) => {
    const kept = keptInputs(variant.stage, p, plan);
    if (kept.length === 0) return;
    // Who shares the inputs may have changed the lengths since.
    const read = await readBytes(device, buffers[set].lengths, 0, 4 * p.batch);
    const rows = newestRowsOf(kept, p, [...new Uint32Array(read.buffer)], pieces, plan);
    await Promise.all(
      rows.map(({ name, offset, bytes }) => poisonPart(device, buffers[set][name], offset, bytes)),
    );
  };
  const poisonAll = () => {
    for (const [name, buffer] of Object.entries(outputBuffers)) {
      poison(device, buffer, plan.buffers[name].zeros);
    }
  };
  const run = (set: number) => {
    poisonAll();
    submit(device, (pass) => recordProgram(pass, bound[set % sets]));
  };
  return {
    name: variant.name,
    variant,
    params,
    plan,
    cost,
    sets,
    wantedSets: wanted,
    touched,
    record(pass, step) {
      lastSet = step % sets;
      recordProgram(pass, bound[lastSet]);
    },
    buffersOf: (set) => buffers[set % sets],
    poison: poisonAll,
    run,
    verifyLast: () => verifySet(lastSet, LAST_HEADS),
    async verify(set) {
      await poisonNewest(set % sets);
      run(set);
      return await verifySet(set % sets);
    },
    read: (name, set) => readWithoutGaps(device, buffers[set % sets][name], plan.buffers[name]),
    destroy() {
      for (const buffer of Object.values(outputBuffers)) buffer.destroy();
    },
  };
}

/**
 * Records a variant by its defaults over given buffers, such as those of a prepared step. Inputs that
 * are not among them are those of the first set.
 */
export async function recorderOf(
  inputs: Pick<InputSource, "device" | "problem" | "settings" | "get">,
  variant: Variant,
  buffers: Readonly<Record<string, GPUBuffer>>,
): Promise<RecordPass> {
  const { device, problem, settings: { limits, unroll } } = inputs;
  const params = variant.defaults(problem, limits);
  const plan = planOn(variant, problem, params, limits);
  const all = { ...buffers };
  for (const [name, spec] of Object.entries(plan.buffers)) {
    if (spec.role === "input") all[name] ??= await inputs.get(name, spec, params, 0);
  }
  const bound = bindProgram(device, await compilePlan(device, plan, { unroll }), all);
  return (pass) => recordProgram(pass, bound);
}

/** Prompt tokens per list that the reference encodes. */
const PROMPT_TOKENS = 256;

/** Query tokens per list's prompt for which the reference computes attention. */
const PREFILL_TOKENS = 8;

/** Bytes of a buffer that a step makes of the newest tokens, and of nothing older. */
interface NewestRow {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Names of the inputs to which a variant adds the newest tokens. */
function keptInputs(stage: Stage, p: Problem, { buffers }: Plan): string[] {
  if (!ADDING_STAGES.includes(stage)) return [];
  return remadeNames(p).filter((name) => buffers[name]?.role === "input");
}

/** The rows of the newest tokens in the inputs `kept`, of sequences of these lengths. */
function newestRowsOf(
  kept: readonly string[],
  p: Problem,
  lengths: readonly number[],
  pieces: Pieces | undefined,
  plan: Plan,
): NewestRow[] {
  if (!pieces) {
    return kept.flatMap((name) => newestRows(name, p, lengths).map((row) => ({ name, ...row })));
  }
  return Array.from({ length: pieces.count }, (_, piece) => {
    const own = pieceProblem(p, pieces, piece);
    const first = Math.floor(piece / pieces.perSequence) * own.batch;
    const ofPiece = lengths.slice(first, first + own.batch);
    return kept.flatMap((name) => {
      const start = partStart(pieces, plan, name, piece);
      return newestRows(name, own, ofPiece).map(({ offset, bytes }) => (
        { name, offset: start + offset, bytes }
      ));
    });
  }).flat();
}

/** The result of checks of all pieces of a problem: the error of the worst of them. */
function joinResults(stage: Stage, results: readonly CheckResult[]): CheckResult {
  const worse = (a: CheckResult, b: CheckResult) => !a.ok || (b.ok && a.relL2 >= b.relL2) ? a : b;
  const checked = results[0].checked.replace(`${stage}: `, "");
  return {
    ...results.reduce(worse),
    checked: `${stage}: in each of ${results.length} pieces ${checked}`,
  };
}

/** Bytes of a buffer, without the gaps between the parts of pieces. */
async function readWithoutGaps(
  device: GPUDevice,
  buffer: GPUBuffer,
  { bytes, bound = bytes }: BufferSpec,
): Promise<Uint8Array<ArrayBuffer>> {
  const all = await readBytes(device, buffer, 0, bytes);
  const stride = strideOf(bound);
  const parts = Math.ceil(bytes / stride);
  const found = new Uint8Array(parts * bound);
  for (let part = 0; part < parts; part++) {
    found.set(all.subarray(part * stride, part * stride + bound), part * bound);
  }
  return found;
}

/** Heads and sequences verified after timing: any of them shows whether the steps were complete. */
const LAST_HEADS = 2;

/** Multiply-adds that the reference may spend on a check: about a second of one core. */
const CHECK_BUDGET = 5e8;

/**
 * All lists if the budget of a check allows them, else an even spread that begins by the seed.
 */
function checkedHeads(p: Problem, seed: number, budget: number = CHECK_BUDGET): number[] {
  const heads = listHeads(p);
  const each = 2 * p.kvLen * p.headDim * (p.qHeads / heads) * Math.min(2, p.batch);
  const affordable = Math.max(1, Math.min(heads, Math.floor(budget / each)));
  const stride = heads / affordable;
  const first = seed % heads;
  const chosen = Array.from(
    { length: affordable },
    (_, i) => (first + Math.floor(i * stride)) % heads,
  );
  return [...new Set(chosen)].sort((a, b) => a - b);
}

/** At most two sequences, which differ from set to set. */
function checkedSequences(p: Problem, set: number): number[] {
  return [...new Set([set % p.batch, (set + p.batch - 1) % p.batch])].sort((a, b) => a - b);
}

/** The heads of a piece to check: its first and last list, and those chosen if there are more. */
function withEnds(chosen: readonly number[], lists: number): number[] {
  const more = chosen.length > 2 ? chosen : [];
  return [...new Set([0, ...more, lists - 1])].sort((a, b) => a - b);
}
