/**
 * Problems whose K or V exceeds what a device binds. Such a problem runs in pieces: problems with a
 * part of its KV heads or of its sequences, all of one size, which the same dispatches compute one
 * after another. K, V and all that has heads or sequences lie in one buffer each, of which a piece
 * binds its part. So no kernel knows of pieces.
 *
 * A binding begins at a multiple of 256 bytes. The layouts of layout.ts put the parts of K, V, q, out
 * and the codes there, or the problem is refused. Buffers that only variants read have gaps between
 * their parts. `lengths`, `first_tokens` and `sink_logits` are written without gaps, and dispatches of
 * their own copy them to where pieces bind them.
 */
import type {
  BufferPart,
  BufferSpec,
  DeviceLimits,
  Dispatch,
  Kernel,
  Plan,
  ReadBytes,
  Variant,
} from "./variant.ts";
import { type Params, PROBLEM_RANGES, ranges } from "./problem/constants.ts";
import { bufferBytes, specs } from "./layout.ts";
import { dispatch } from "./dispatch.ts";
import { hasPlainCache } from "./problem/cache_layout.ts";
import { lengthOf, prefixOf } from "./problem/derived.ts";
import type { Problem } from "./problem/problem.ts";
import { bindingsOf } from "./wgsl/wgsl_facts.ts";
import source from "./deal.wgsl" with { type: "text" };

/** Multiples of it are valid offsets of bindings on every device. */
export const ALIGNMENT = 256;

/** `deal.wgsl`. */
export const dealKernel: Kernel = {
  name: "core/deal",
  source,
  bindings: bindingsOf(source),
  params: {
    ...ranges("Q_HEADS"),
    PIECE_SEQUENCES: PROBLEM_RANGES.BATCH,
    PIECE_HEADS: PROBLEM_RANGES.Q_HEADS,
    WORKGROUP: [64],
  },
};

/** How a problem is divided. */
export interface Pieces {
  /** Number of pieces: those of the first sequences come first, in the order of their heads. */
  readonly count: number;
  /** Pieces that have the same sequences; if there are several, these are one sequence. */
  readonly perSequence: number;
  /** The problem of a piece, at full length. */
  readonly each: Problem;
}

/** Buffers whose parts of a piece are not contiguous, since tokens come before heads. */
const TOKENS_FIRST = ["prompt_q", "prompt_out", "pool_keys", "pool_values"];

/** Buffers of other systems, of which pieces have no parts. */
const UNDIVIDED = ["index_codes", "decays", "slot_keys"];

/** Buffers whose layout others know, so that there is no room for gaps. */
const WITHOUT_GAPS = ["q", "keys", "values", "codes", "factors", "query_map", "key_map", "out"];

/** Buffers that all sequences share. */
const WITHOUT_SEQUENCES = [
  "query_map",
  "key_map",
  "channels",
  "head_channels",
  "compress_map",
  "compress_positions",
];

/** Buffers that are copied for each piece, and the copies. */
const DEALT: Readonly<Record<string, string>> = {
  lengths: "piece_lengths",
  first_tokens: "piece_first_tokens",
  sink_logits: "piece_sink_logits",
};

/** The dispatch that copies `first_tokens` copies them in the place of lengths. */
const FIRST_TOKENS = { lengths: "first_tokens", piece_lengths: "piece_first_tokens" };

/** The largest divisor of `count` up to `most`; 0 if there is none. */
function largestDivisor(count: number, most: number): number {
  for (let divisor = Math.min(count, most); divisor > 0; divisor--) {
    if (count % divisor === 0) return divisor;
  }
  return 0;
}

/** Bytes of a KV head of `keys`. */
function headBytes(p: Problem): number {
  return bufferBytes(p).keys / (p.batch * p.kvHeads);
}

/**
 * The pieces of a problem on a device; undefined if a binding holds its K, or not even a KV head of
 * it, or if a KV head of a sequence is no part of its own. A prefix that sequences share has no
 * pieces.
 */
export function piecesOf(
  p: Problem,
  { maxStorageBufferBindingSize: most }: Pick<DeviceLimits, "maxStorageBufferBindingSize">,
): Pieces | undefined {
  if (!hasPlainCache(p)) return undefined;
  const heads = largestDivisor(p.kvHeads, Math.floor(most / headBytes(p)));
  if (bufferBytes(p).keys <= most || heads === 0 || prefixOf(p) > 0) return undefined;
  const perSequence = p.kvHeads / heads;
  const fitting = Math.floor(most / (headBytes(p) * heads));
  const batch = perSequence > 1 ? 1 : largestDivisor(p.batch, fitting);
  const { lengths: _, ...even } = p;
  return {
    count: perSequence * p.batch / batch,
    perSequence,
    each: { ...even, batch, kvHeads: heads, qHeads: p.qHeads / perSequence },
  };
}

/** The problem of a piece, with the lengths of its sequences. */
export function pieceProblem(p: Problem, pieces: Pieces, piece: number): Problem {
  const first = Math.floor(piece / pieces.perSequence) * pieces.each.batch;
  const lengths = Array.from(
    { length: pieces.each.batch },
    (_, sequence) => lengthOf(p, first + sequence),
  );
  return { ...pieces.each, lengths, kvLen: Math.max(...lengths) };
}

/**
 * The plan of a variant for a problem on a device: that of its pieces, if a binding does not hold
 * its K. Parameters are those of the variant's `defaults` for this problem and these limits.
 */
export function planOn(
  variant: Pick<Variant, "plan">,
  p: Problem,
  params: Params,
  limits: Pick<DeviceLimits, "maxStorageBufferBindingSize">,
): Plan {
  const pieces = piecesOf(p, limits);
  if (!pieces) return variant.plan(p, params);
  const plan = variant.plan(pieces.each, params);
  if ([...TOKENS_FIRST, ...UNDIVIDED].some((name) => name in plan.buffers)) {
    return variant.plan(p, params);
  }
  return planPieces(p, pieces, plan);
}

/** Bytes from the part of a piece to that of the next one. */
export function strideOf(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** The plan of all pieces, given that of one. */
function planPieces(p: Problem, pieces: Pieces, { buffers, dispatches }: Plan): Plan {
  const named = (name: string) => DEALT[name] ?? name;
  const all = Object.entries(buffers).map(([name, spec]): [string, BufferSpec] => {
    const { bytes, zeros } = spec;
    const stride = strideOf(bytes);
    const parts = WITHOUT_SEQUENCES.includes(name) ? pieces.perSequence : pieces.count;
    return [named(name), {
      ...spec,
      ...(name in DEALT ? { role: "scratch" } : {}),
      bytes: parts * stride,
      bound: bytes,
      ...(zeros ? { zeros: { ...zeros, every: stride } } : {}),
    }];
  });
  const ofPiece = (each: Dispatch, piece: number): Dispatch => {
    const rename = { ...each.rename };
    const places: Record<string, BufferPart> = {};
    for (const { name } of each.kernel.bindings) {
      const buffer = rename[name] ?? name;
      const { bytes } = buffers[buffer];
      const part = WITHOUT_SEQUENCES.includes(buffer) ? piece % pieces.perSequence : piece;
      if (buffer in DEALT) rename[name] = DEALT[buffer];
      places[named(buffer)] = { offset: part * strideOf(bytes), bytes };
    }
    return { ...each, rename, places };
  };
  const deals = Object.keys(DEALT).some((name) => name in buffers);
  const from = "first_tokens" in buffers;
  const deal = dealDispatch(p, pieces);
  return {
    buffers: { ...(deals ? dealBuffers(p, pieces, from) : {}), ...Object.fromEntries(all) },
    dispatches: [
      ...(deals ? [deal] : []),
      ...(from ? [{ ...deal, rename: FIRST_TOKENS }] : []),
      ...Array.from(
        { length: pieces.count },
        (_, piece) => dispatches.map((each) => ofPiece(each, piece)),
      ).flat(),
    ],
  };
}

/** The buffers of {@linkcode dealDispatch}, also for first tokens if it copies `from`. */
function dealBuffers(p: Problem, { each, count }: Pieces, from: boolean): Plan["buffers"] {
  const dealt = Object.keys(DEALT).filter((name) => from || name !== "first_tokens");
  const ofPieces = Object.entries(specs(each, "scratch", ...dealt)).map((
    [name, spec],
  ): [string, BufferSpec] => [DEALT[name], { ...spec, bytes: count * strideOf(spec.bytes) }]);
  return { ...specs(p, "input", ...dealt), ...Object.fromEntries(ofPieces) };
}

/** The dispatch that copies lengths and sink logits for each piece. */
function dealDispatch(p: Problem, { each, count }: Pieces): Dispatch {
  const values = { PIECE_SEQUENCES: each.batch, PIECE_HEADS: each.qHeads, WORKGROUP: 64 };
  return dispatch(dealKernel, p, values, [count, 1, 1]);
}

/**
 * The reason that a problem cannot run a plan in pieces or needs a larger binding than the device
 * has; undefined if neither holds.
 */
export function refusesPieces(
  p: Problem,
  plan: Plan,
  limits: Pick<DeviceLimits, "maxStorageBufferBindingSize">,
): string | undefined {
  const { maxStorageBufferBindingSize: most } = limits;
  const bytes = plan.buffers.keys?.bytes ?? 0;
  if (!hasPlainCache(p) && bytes > most) {
    return `buffer keys needs ${bytes} bytes, this device binds ${most} at most, and a cache with ` +
      `pages or strides has no pieces`;
  }
  if ("keys" in plan.buffers && p.batch * p.kvHeads > 1 && headBytes(p) > most) {
    return `a KV head of keys needs ${headBytes(p)} bytes, this device binds ${most} at most`;
  }
  const undivided = UNDIVIDED.find((name) => name in plan.buffers);
  if (undivided !== undefined && piecesOf(p, limits)) {
    return `${undivided} has no pieces, and this device binds ${most} bytes at most`;
  }
  for (const name of WITHOUT_GAPS) {
    const bound = plan.buffers[name]?.bound ?? 0;
    if (bound % ALIGNMENT === 0) continue;
    // Codes and factors of a token are at least a byte.
    const enough = name === "codes" || name === "factors"
      ? `; a capacity of a multiple of ${ALIGNMENT} tokens is enough`
      : "";
    return `a piece of ${name} has ${bound} bytes, but pieces begin at multiples of ${ALIGNMENT}` +
      enough;
  }
}

/** The byte at which a piece's part of a buffer begins, given the buffer's name in its own plan. */
export function partStart(
  { each, perSequence }: Pieces,
  { buffers }: Plan,
  name: string,
  piece: number,
): number {
  const [sequences, heads] = [Math.floor(piece / perSequence), piece % perSequence];
  // These begin where they were written, not where they were copied to.
  if (name === "lengths" || name === "first_tokens") return sequences * 4 * each.batch;
  if (name === "sink_logits") return heads * 4 * each.qHeads;
  const part = WITHOUT_SEQUENCES.includes(name) ? heads : piece;
  return part * strideOf(buffers[name].bound!);
}

/** Reads the buffers of a piece by their names in its own plan, given a reader of all pieces. */
export function pieceReader(
  read: ReadBytes,
  pieces: Pieces,
  plan: Plan,
  piece: number,
): ReadBytes {
  return (name, offset, length) =>
    read(name, partStart(pieces, plan, name, piece) + offset, length);
}
