/** The cases of a run, made from its options. */
import { benchKvLengths, findModel, type ModelShape } from "../../fixtures/models.ts";
import type { Trace } from "../../fixtures/trace.ts";
import { refusesCodes, refusesPrefix } from "../../kernels/core/define.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { type LearnedMap, packMap } from "../../kernels/maps/learned_map.ts";
import { checkProblem, checkShape } from "../../kernels/core/problem/check_problem.ts";
import { kvLayoutOf, kvStridesFor } from "../../kernels/core/problem/cache_layout.ts";
import {
  type Bins,
  DEFAULT_BINS,
  type Problem,
  type Shape,
} from "../../kernels/core/problem/problem.ts";
import {
  binsOf,
  centresKeys,
  isRotated,
  planesOf,
  prefixOf,
  roundCapacity,
  shapeName,
  tiesOf,
} from "../../kernels/core/problem/derived.ts";
import type { CaseSet, TraceFigures } from "./case_sets.ts";
import { counted } from "../base/counted.ts";
import { matching } from "./kernel_globs.ts";
import { type CaseOptions, type Score, SHAPE_WORDS } from "./case_options.ts";
import { asUsage, UsageError } from "../base/usage_error.ts";

/** One problem to measure variants on. */
export interface BenchCase {
  /** Name in messages: the models or the shape with the KV length, or the trace. */
  readonly name: string;
  /** Label in tables, beside the columns of batch and KV length. */
  readonly label: string;
  /** Identifies the case. Rows of different runs can be compared if their ids are equal. */
  readonly caseId: string;
  readonly problem: Problem;
  readonly variants: readonly Variant[];
  /** Real K, V and q, instead of generated ones. */
  readonly trace?: Trace;
  /** Learned map of the trace's heads. Without it a random projection makes the codes. */
  readonly learnedMap?: LearnedMap;
  /** Tells traces and maps of the same name apart; 8 hex digits. */
  readonly dataDigest?: string;
  /** The quality that the case's set names. That of a trace is measured. */
  readonly quality?: TraceFigures;
}

/** A trace with the name of its file and, if there is one, the learned map of its heads. */
export interface NamedTrace {
  readonly name: string;
  /** 8 hex digits over the files of both. */
  readonly dataDigest?: string;
  readonly trace: Trace;
  readonly learnedMap?: LearnedMap;
}

/** The model whose KV lengths are the default for `--shape`. */
const SHAPE_MODEL = findModel("llama-3.1-8b");

/** The score that ranks a problem's tokens. */
export function scoreOf(p: Problem): Score {
  if (isRotated(p)) return "rotated";
  return planesOf(p) === 0 ? "hamming" : "weighted";
}

/** Whether a problem's bins are the default ones, which names leave out. */
function hasDefaultBins({ count, range }: Bins): boolean {
  return count === DEFAULT_BINS.count && range === DEFAULT_BINS.range;
}

/** Short name of a map, such as `mlp3x128-f16`, `learned-linear-f16` or `rotation-256bins`. */
export function mapName(p: Problem, learned = false): string {
  const { map } = p;
  if (isRotated(p)) return `rotation${centresKeys(p) ? "-centred" : ""}${binsName(binsOf(p))}`;
  const layers = map.layers === 1 ? "linear" : `mlp${map.layers}x${map.hidden}`;
  return `${learned ? "learned-" : ""}${layers}-${map.dtype}`;
}

/** `-256bins`, or `-64bins-to4` if the range differs, too; nothing for the default bins. */
function binsName(bins: Bins): string {
  if (hasDefaultBins(bins)) return "";
  return `-${bins.count}bins${bins.range === DEFAULT_BINS.range ? "" : `-to${bins.range}`}`;
}

/** The tokens of each sequence if they differ, else one number. */
function lengthsText(p: Problem, separator: string): string {
  return (p.lengths ?? [p.kvLen]).join(separator);
}

/** `300, 17, 1000 tokens`, or `1 token`. */
function tokensText(p: Problem): string {
  return p.lengths ? `${lengthsText(p, ", ")} tokens` : counted(p.kvLen, "token");
}

/**
 * The number of sequences, if there are several of one length. Different lengths show it anyway.
 */
function batchText(p: Problem): string {
  const { batch, lengths } = p;
  const prefix = prefixOf(p) > 0 ? `, a prefix of ${prefixOf(p)} shared` : "";
  return (batch > 1 && !lengths ? `, batch ${batch}` : "") + prefix;
}

/** The letter that a case id has for each way to share codes. */
const CODE_LETTERS = { head: "h", kv: "k", group: "g" } as const;

/** The planes and the rule for ties in a case id; nothing for those of the paper. */
function planesText(p: Problem): string {
  const planes = planesOf(p) === 0 ? "" : `w${planesOf(p)}`;
  return tiesOf(p) === "lower" ? planes : `${planes}t`;
}

/** The layout and the pages of K and V in a case id; nothing for [B, Hkv, capacity, D]. */
function cacheText(p: Problem): string {
  const layout = kvLayoutOf(p) === "bhnd" ? "" : `-${kvLayoutOf(p)}`;
  return p.kvPages ? `${layout}-p${p.kvPages.tokens}` : layout;
}

/**
 * A stable, readable name of a problem, e.g. `32x8x128-n8192-b1-f16-c32h-mlp3x128f16-s32-w128+128`.
 */
export function caseId(p: Problem, learned = false): string {
  const code = `c${p.bits}${CODE_LETTERS[p.sharing]}${planesText(p)}`;
  const picks = "count" in p.topK ? `k${p.topK.count}` : `s${p.topK.sparsity}`;
  const map = mapName(p, learned).replaceAll("-", "");
  // The own tokens of the longest sequence, so that prefixes of several lengths make a series.
  const tail = prefixOf(p) > 0 ? `-t${p.kvLen - prefixOf(p)}` : "";
  return `${shapeName(p)}-n${lengthsText(p, "_")}-b${p.batch}${tail}-${p.dtype}-${code}-${map}` +
    `-${picks}-w${p.sink}+${p.recent}${cacheText(p)}`;
}

/**
 * The cases that the options ask for. The cases of a set keep their order. The others are ordered
 * by shape, batch and KV length. Models of one shape share a case, since the measurement is the
 * same.
 *
 * @throws {UsageError} for a `--k` above a KV length, or a set without a case for the kernels;
 * without `--force` also for a length beyond a model's context or a budget that selects nothing.
 */
export function casesOf(options: CaseOptions, trace?: NamedTrace): BenchCase[] {
  const { variants } = options;
  if (options.set) return casesOfSet(options.set, variants);
  const cases = new Map<string, { names: string[]; problem: Problem }>();
  const add = (name: string, shape: Shape, kvLens: readonly number[]) => {
    const { shared } = options;
    const batches = options.lengths
      ? [options.lengths]
      : shared
      ? ascending(shared.requests).map((requests) =>
        Array<number>(requests).fill(shared.prefix + shared.tail)
      )
      : ascending(options.batches).flatMap((batch) =>
        ascending(kvLens).map((kvLen) => Array<number>(batch).fill(kvLen))
      );
    for (const batch of batches) {
      const problem = problemOf(options, shape, batch);
      const id = caseId(problem);
      cases.set(id, { names: [...cases.get(id)?.names ?? [], name], problem });
    }
  };
  const lengths = (model: ModelShape) => options.kvLens ?? benchKvLengths(model);
  for (const model of options.models.map(findModel)) {
    checkContext(model, options);
    add(model.name, model, lengths(model));
  }
  if (options.shape) add(shapeName(options.shape), options.shape, lengths(SHAPE_MODEL));
  const generated = Array.from(cases, ([caseId, { names, problem }]) => ({
    name: `${names.join(", ")} at ${tokensText(problem)}${batchText(problem)}`,
    label: shapeName(problem),
    caseId,
    problem,
    variants: takingCodes(variants, problem),
  }));
  return [...generated, ...(trace ? [traceCase(options, trace)] : [])];
}

/**
 * The variants without those for the other kind of codes, and without those for other prefixes. If
 * these are all that the user asked for, they stay: each is left out with its reason.
 */
function takingCodes(variants: readonly Variant[], p: Problem): readonly Variant[] {
  const taking = variants.filter((variant) =>
    !refusesCodes(variant, p) && !refusesPrefix(variant, p)
  );
  return taking.length > 0 ? taking : variants;
}

function ascending(numbers: readonly number[]): number[] {
  return [...numbers].sort((a, b) => a - b);
}

function checkContext({ name, maxContext }: ModelShape, options: CaseOptions): void {
  const { shared } = options;
  const [flag, lengths] = options.lengths
    ? ["--lengths", options.lengths]
    : shared
    ? ["--prefix and --tail of", [shared.prefix + shared.tail]]
    : ["--kv", options.kvLens];
  const longest = Math.max(0, ...lengths ?? []);
  if (longest <= maxContext || options.force) return;
  throw new UsageError(
    `${flag} ${longest} exceeds the context of ${name}, ${maxContext} tokens; ` +
      "--force times it anyway.",
  );
}

/** The cases of a set for which some of the `variants` are wanted, each with its variants. */
function casesOfSet({ name, cases }: CaseSet, variants: readonly Variant[]): BenchCase[] {
  const wanted = cases.map(({ label, problem, kernels, quality }) => ({
    name: `${label}, batch ${problem.batch} at ${tokensText(problem)}`,
    label,
    caseId: caseId(problem),
    problem,
    variants: takingCodes(matching(variants, kernels), problem),
    ...(quality ? { quality } : {}),
  })).filter(({ variants }) => variants.length > 0);
  if (wanted.length > 0) return wanted;
  throw new UsageError(`No case of the set ${name} has a kernel that --kernels names.`);
}

/**
 * The case of a trace, which has one sequence and one KV head with its queries; `--batch` does not
 * apply. Its codes come from its learned map or from a random projection. The map of other cases
 * does not apply either, since an MLP with hashed weights would select tokens by chance. Rotated
 * codes need no map.
 */
function traceCase(options: CaseOptions, named: NamedTrace): BenchCase {
  const { name, trace, learnedMap, dataDigest } = named;
  const learned = learnedMap !== undefined;
  const untrained = isRotated(options) ? options.map : { ...options.map, layers: 1 };
  const mapFile = options.traceMap ?? "the map that ships with the suite";
  const { map, bits, sharing } = learned ? learnedMap.shape : { ...options, map: untrained };
  const shape = { qHeads: trace.queryHeads, kvHeads: 1, headDim: trace.headDim };
  asUsage(() => checkShape(shape, SHAPE_WORDS), options.trace ?? `trace ${name}`);
  const problem = problemOf({ ...options, map, bits, sharing }, shape, [trace.kvLen]);
  if (learned) asUsage(() => packMap(learnedMap, problem), `${mapFile} for the trace ${name}`);
  return {
    name: `trace ${name}`,
    label: `trace ${name}`,
    caseId: `trace-${name}-${caseId(problem, learned)}`,
    problem,
    variants: takingCodes(options.variants, problem),
    trace,
    dataDigest,
    ...(learned ? { learnedMap } : {}),
  };
}

/** The problem of a batch, given the tokens of each sequence. */
function problemOf(options: CaseOptions, shape: Shape, lengths: readonly number[]): Problem {
  const { dtype, bits, sharing, map, planes, bins, centre, topK, ties, sink, recent } = options;
  const { layout, pageTokens } = options;
  const { qHeads, kvHeads, headDim } = shape;
  const kvLen = lengths.reduce((a, b) => Math.max(a, b));
  const plain: Problem = {
    batch: lengths.length,
    qHeads,
    kvHeads,
    headDim,
    kvLen,
    capacity: roundCapacity(kvLen),
    ...(options.shared ? { prefix: options.shared.prefix } : {}),
    ...(lengths.some((length) => length !== kvLen) ? { lengths } : {}),
    dtype,
    bits,
    sharing,
    map,
    ...(isRotated(options) && !hasDefaultBins(bins) ? { bins } : {}),
    ...(centre ? { centre } : {}),
    ...(planes > 0 ? { planes } : {}),
    topK,
    ...(ties === "lower" ? {} : { ties }),
    sink,
    recent,
    ...(pageTokens === null ? {} : { kvPages: { tokens: pageTokens } }),
  };
  const problem: Problem = layout === "bhnd"
    ? plain
    : { ...plain, kvStrides: kvStridesFor(layout, plain) };
  asUsage(() => checkProblem(problem));
  if ("count" in topK && topK.count > kvLen) {
    throw new UsageError(`--k ${topK.count} exceeds the KV length of ${counted(kvLen, "token")}.`);
  }
  const [budget, selectsNone] = "count" in topK
    ? [`--k ${topK.count}`, topK.count === 0]
    : [`--sparsity ${topK.sparsity}`, topK.sparsity > kvLen];
  if (selectsNone && !options.force) {
    throw new UsageError(
      `${budget} selects none of ${counted(kvLen, "token")}; --force times it anyway.`,
    );
  }
  return problem;
}
