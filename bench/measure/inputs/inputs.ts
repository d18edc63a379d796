/**
 * Input sets on the device. Cold steps rotate over many sets of every buffer. Raw data (q, K, V,
 * codes, maps) are hashed. Derived data (distances, lists) come from the stage that makes them,
 * which runs on the same set. A set is made when it is first asked for, and all variants of a case
 * share it.
 */
import { createPageTable } from "../../../fixtures/cache_layout.ts";
import { createRandom } from "../../../fixtures/random.ts";
import { createTokenIndex } from "../../../fixtures/token_pool.ts";
import type { BufferSpec, DeviceLimits, Variant } from "../../../kernels/core/variant.ts";
import type { Params } from "../../../kernels/core/problem/constants.ts";
import type { KnownReferences } from "../../../kernels/verify/verify.ts";
import { LABEL_CHANNELS } from "../../../kernels/core/problem/labels.ts";
import { NO_SINK_LOGIT } from "../../../kernels/core/layout.ts";
import { planOn } from "../../../kernels/core/pieces.ts";
import { lengthOf } from "../../../kernels/core/problem/derived.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";
import { bufferSize, bufferUsage } from "../../../kernels/core/run/program.ts";
import { FILL_KIND } from "../../../kernels/probe/probes.ts";
import { checkBytes, checkHolds, withinMemory } from "../../../kernels/core/run/device_memory.ts";
import { runPlan, write } from "../../../kernels/core/run/run.ts";
import { decayInput } from "./decay_inputs.ts";
import { fill } from "./fill.ts";
import { makerOf, makerParams } from "./input_makers.ts";
import type { InputSource } from "./input_source.ts";
import { slotTokens } from "./slot_inputs.ts";

/** Contents of buffers that are given instead of hashed, by set; such as the keys of a trace. */
export type Given = Readonly<Record<string, (set: number) => ArrayBufferView<ArrayBuffer>>>;

/** How inputs are made. */
export interface InputSettings {
  readonly limits: DeviceLimits;
  readonly seed: number;
  /** Budget in bytes. Set 0 is always allocated; further sets only within the budget. */
  readonly budgetBytes: number;
  readonly unroll: boolean;
  /** Multiply-adds that the reference of a check may spend (default: a second of one core). */
  readonly checkBudget?: number;
  readonly given?: Given;
  /** Whether codes are encoded from the keys (real data) instead of hashed. */
  readonly encode?: boolean;
}

/** Input buffers of one problem on one device. */
export class InputSets implements InputSource {
  readonly #held = new Map<string, GPUBuffer>();
  readonly #known = new Map<string, KnownReferences>();
  #bytes = 0;

  constructor(
    readonly device: GPUDevice,
    readonly problem: Problem,
    readonly settings: InputSettings,
  ) {}

  /**
   * The buffer of input `name` in set `set`.
   *
   * @throws {RangeError} with both sizes, if the device binds less or its memory or the budget is
   * spent.
   */
  async get(name: string, spec: BufferSpec, params: Params, set: number): Promise<GPUBuffer> {
    const key = this.#key(name, spec, set);
    const known = this.#held.get(key);
    if (known) return known;
    const given = this.settings.given?.[name] !== undefined;
    const maker = given ? undefined : makerOf(this.problem, name, this.settings.encode ?? false);
    if (maker) await this.#make(maker, params, set);
    else {
      const buffer = await this.#create(key, spec, set);
      await this.#fill(name, buffer, set);
    }
    return this.#held.get(key)!;
  }

  /** The results of references for the inputs of a set, or of a piece of it. */
  known(set: number, piece = 0): KnownReferences {
    const key = `${set} ${piece}`;
    const found = this.#known.get(key) ?? new Map();
    this.#known.set(key, found);
    return found;
  }

  /** Frees everything. */
  destroy(): void {
    for (const buffer of this.#held.values()) buffer.destroy();
    this.#held.clear();
    this.#known.clear();
    this.#bytes = 0;
  }

  // The size tells histograms of other block sizes and partials of other numbers of splits apart.
  #key(name: string, spec: BufferSpec, set: number): string {
    return `${name} ${spec.bytes} ${set}`;
  }

  async #create(key: string, spec: BufferSpec, set: number): Promise<GPUBuffer> {
    const { budgetBytes, limits } = this.settings;
    const [name] = key.split(" ");
    const size = bufferSize(spec.bytes);
    checkBytes(name, spec, limits);
    // A case needs set 0. Further sets only keep its steps cold.
    if (set > 0 && this.#bytes + size > budgetBytes) {
      throw new RangeError(
        `${name} needs ${size} bytes beyond the ${budgetBytes} set aside for inputs`,
      );
    }
    const buffer = await withinMemory(
      this.device,
      name,
      size,
      () => this.device.createBuffer({ label: key, size, usage: bufferUsage(spec) }),
    );
    this.#bytes += size;
    this.#held.set(key, buffer);
    return buffer;
  }

  async #make(maker: Variant, params: Params, set: number): Promise<void> {
    const p = this.problem;
    const makersOwn = makerParams(maker, p, params, this.settings.limits);
    const plan = planOn(maker, p, makersOwn, this.settings.limits);
    checkHolds(plan, this.settings.limits);
    const buffers: Record<string, GPUBuffer> = {};
    for (const [name, spec] of Object.entries(plan.buffers)) {
      buffers[name] = spec.role === "input"
        ? await this.get(name, spec, makersOwn, set)
        : this.#held.get(this.#key(name, spec, set)) ??
          await this.#create(this.#key(name, spec, set), spec, set);
    }
    await runPlan(this.device, plan, buffers, { unroll: this.settings.unroll });
  }

  /** The lengths, and the page table of a paged cache behind them. */
  #lengths(set: number): Uint32Array<ArrayBuffer> {
    const p = this.problem;
    const lengths = Array.from({ length: p.batch }, (_, sequence) => lengthOf(p, sequence));
    const table = p.kvPages ? createPageTable(p, { lengths, seed: this.settings.seed + set }) : [];
    return Uint32Array.from([...lengths, ...table]);
  }

  #tokenIndex(set: number): Uint32Array<ArrayBuffer> {
    const p = this.problem;
    const lengths = Array.from({ length: p.batch }, (_, sequence) => lengthOf(p, sequence));
    return createTokenIndex({ lengths, capacity: p.capacity, seed: this.settings.seed + set });
  }

  async #fill(name: string, buffer: GPUBuffer, set: number): Promise<void> {
    const p = this.problem;
    const given = this.settings.given?.[name];
    const decays = decayInput(p, name);
    const contents = (data: ArrayBufferView<ArrayBuffer>) => write(this.device, buffer, data);
    if (given) contents(given(set));
    else if (name.endsWith("channels")) {
      contents(randomChannels(buffer.size / (4 * LABEL_CHANNELS), p.headDim, this.settings.seed));
    } else if (decays) contents(decays);
    else if (name === "token_index") contents(this.#tokenIndex(set));
    else if (name === "first_tokens") contents(new Uint32Array(p.batch));
    else if (name === "slot_tokens") contents(slotTokens(p, buffer.size / 4, set));
    else if (name === "lengths") {
      contents(this.#lengths(set));
    } else if (name === "sink_logits") contents(sinkLogits(p, this.settings.given !== undefined));
    else {
      let seed = this.settings.seed + 977 * set;
      for (const char of name) seed = (seed * 31 + char.charCodeAt(0)) >>> 0;
      await fill(this.device, buffer, fillKind(name, p), seed);
    }
  }
}

/**
 * The channels of labels, [heads, 16], which are distinct. A model's would follow from calibration;
 * which ones they are does not change the work.
 */
function randomChannels(heads: number, headDim: number, seed: number): Uint32Array<ArrayBuffer> {
  const random = createRandom(seed);
  const channels = Array.from({ length: heads }, () => {
    const all = Array.from({ length: headDim }, (_, d) => ({ d, order: random.uniform() }));
    return all.sort((a, b) => a.order - b.order).slice(0, LABEL_CHANNELS).map(({ d }) => d);
  });
  return Uint32Array.from(channels.flat());
}

/** Every other head has a sink logit, so that a check covers both kinds. Real traces have none. */
function sinkLogits(p: Problem, none: boolean): Float32Array<ArrayBuffer> {
  const logits = new Float32Array(p.qHeads).fill(NO_SINK_LOGIT);
  for (let head = 0; head < p.qHeads && !none; head += 2) logits[head] = 1 + head / p.qHeads;
  return logits;
}

function fillKind(name: string, p: Problem): number {
  switch (name) {
    case "keys":
    case "values":
    case "pool_keys":
    case "pool_values":
    case "token_rows":
    case "slot_keys":
    case "slot_values":
    case "branch_keys":
    case "branch_values":
    case "raw_keys":
    case "raw_values":
    case "compress_map":
    case "compress_positions":
      return FILL_KIND[p.dtype];
    case "q":
      return FILL_KIND[p.qDtype ?? "f32"];
    case "index_queries":
    case "index_weights":
    case "index_keys":
    case "hidden":
    case "prompt_q":
    case "partial_out":
      return FILL_KIND.f32;
    case "partial_stats":
    case "index_scales":
    case "gates":
      return FILL_KIND.positive;
    case "router":
      return FILL_KIND.smallF16;
    case "query_map":
    case "key_map":
      return p.map.dtype === "f16" ? FILL_KIND.smallF16 : FILL_KIND.smallF32;
    default:
      return FILL_KIND.bits;
  }
}
