/** The wrong signs that are planted into kernels, and how. */

/** One wrong sign: in `kernels/KERNEL.wgsl`, `find`, which must stand there once, gets replaced. */
export interface Mutant {
  readonly kernel: string;
  readonly find: string;
  readonly replace: string;
}

/** A mutant of every kernel that computes something. */
export const MUTANTS: readonly Mutant[] = [
  ["encode/prompt", "+ weights(row, column, 0u)", "- weights(row, column, 0u)"],
  ["encode/token", "1.0 + exp(-x)", "1.0 - exp(-x)"],
  ["encode/rotate_token", "y[low + half] = a - b", "y[low + half] = a + b"],
  ["encode/rotate_prompt", "u32(x[i] > 0.0)", "u32(x[i] < 0.0)"],
  ["encode/factor_sums", "sums[0] + squared_last", "sums[0] - squared_last"],
  ["encode/key_sums", "first + load * ROWS < end", "first - load * ROWS < end"],
  ["encode/key_means", "sum / f32(lengths[wid.y])", "sum * f32(lengths[wid.y])"],
  ["encode/pq_append", "other > best ||", "other < best ||"],
  ["encode/pq_centroids", "pack2x16float(mean.xy)", "pack2x16float(-mean.xy)"],
  ["encode/pq_means", "sum / f32(count)", "sum * f32(count)"],
  ["encode/pq_prompt", "near[t] - half > best[t]", "near[t] + half > best[t]"],
  ["encode/pq_start", "first + hash(", "first - hash("],
  ["encode/pq_sums", "+ thread] += values[i]", "+ thread] -= values[i]"],
  ["score/pq", "acc[t] += table_entry(", "acc[t] -= table_entry("],
  ["encode/route", "1.0 + exp(-sum)", "1.0 - exp(-sum)"],
  ["encode/nsa_compress", "sum += sums[", "sum -= sums["],
  ["score/rotated", "LAST - score_bin(", "score_bin("],
  ["score/rotated_shared", "LAST - score_bin(", "score_bin("],
  ["score/rotate_score", "other + select(", "other - select("],
  ["score/hamming", "words ^ vec4<u32>", "~words ^ vec4<u32>"],
  ["score/encode_score", "first + t < recent_start", "first + t >= recent_start"],
  ["score/encode_score_group", "first + t < recent_start", "first + t >= recent_start"],
  ["encode/labels", "at + min(channels[", "at - min(channels["],
  ["score/labels", "score += dot(", "score -= dot("],
  ["score/nsa_blocks", "exp2(before - lse) + 2.0", "exp2(before - lse) - 2.0"],
  ["score/dot_subgroup", "dots[i] = kept + ", "dots[i] = kept - "],
  ["score/dot", "score += parts[", "score -= parts["],
  ["score/index", "dots[t] += dot4I8Packed", "dots[t] -= dot4I8Packed"],
  ["score/index_unpacked", "products.x + products.y", "products.x - products.y"],
  ["select/counting", "r < row)", "r >= row)"],
  ["select/counting_subgroup", "s < thread / lanes", "s >= thread / lanes"],
  ["select/bitonic_sort", "(a > b)", "(a <= b)"],
  ["select/bitonic_merge", "min(key_a, key_b)", "max(key_a, key_b)"],
  ["select/bitonic_emit", "recent_start + at - picks_end", "recent_start + at + picks_end"],
  ["select/radix_count", "first + part >= sink_end", "first + part < sink_end"],
  ["select/radix_take", "u32(bin > threshold)", "u32(bin < threshold)"],
  ["select/radix_finish", "candidate.x > other.x", "candidate.x < other.x"],
  ["select/radix_list", "candidate.x > other.x", "candidate.x < other.x"],
  ["attend/gather", "exp2(s[t] - m_new)", "exp2(s[t] + m_new)"],
  ["attend/gather_subgroup", "exp2(s[t] - m_new)", "exp2(s[t] + m_new)"],
  [
    "attend/gather_merge",
    "exp2(logits[t * HEADS + h] - m_new)",
    "exp2(logits[t * HEADS + h] + m_new)",
  ],
  ["encode/page_bounds", "token % PAGE_TOKENS == 0u", "token % PAGE_TOKENS != 0u"],
  [
    "encode/page_bounds_prompt",
    "extreme(largest, key[i + 1u], 0xff",
    "extreme(largest, key[i + 1u], 0x00",
  ],
  ["score/pages", "quad > vec4f(0.0)", "quad < vec4f(0.0)"],
  ["attend/decayed", "- m_new), inside)", "+ m_new), inside)"],
  ["attend/decayed_portable", "exp2(s[t] - m_new)", "exp2(s[t] + m_new)"],
  ["attend/slots", "exp2(logits[t] - m_new)", "exp2(logits[t] + m_new)"],
  ["attend/slots_portable", "exp2(s[t] - m_new)", "exp2(s[t] + m_new)"],
  ["attend/nsa_compressed", "s[h / HEAD_LANES] - m_new)", "s[h / HEAD_LANES] + m_new)"],
  ["attend/nsa_branches", "s[h / HEAD_LANES] - m_new)", "s[h / HEAD_LANES] + m_new)"],
  ["attend/windows", "exp2(s[t] - m_new)", "exp2(s[t] + m_new)"],
  ["attend/select_gather", "exp2(logits[t] - m_new)", "exp2(logits[t] + m_new)"],
  ["attend/select_gather_tokens", "exp2(logits[t] - m_new)", "exp2(logits[t] + m_new)"],
  ["attend/select_gather_group", "[first_row + r].x - m_all)", "[first_row + r].x + m_all)"],
  ["prefill/flash", "vec4f(SCALE), -m[", "vec4f(SCALE), m["],
  ["prefill/flash_matrix", "vec4f(SCALE), vec4f(-m)", "vec4f(SCALE), vec4f(m)"],
  ["merge/merge", "exp2(split_stats.x - m_new)", "exp2(split_stats.x + m_new)"],
  ["merge/join_splits", "exp2(split_stats[i].x - m)", "exp2(split_stats[i].x + m)"],
  ["merge/join_ragged", "exp2(portion_stats.x - m_new)", "exp2(portion_stats.x + m_new)"],
  ["merge/nsa_gates", "area[STATS + i].x) - m)", "area[STATS + i].x) + m)"],
  ["dense/split", "exp2(s[t] - m_new)", "exp2(s[t] + m_new)"],
  ["dense/cascade", "exp2(scores[at] - m[", "exp2(scores[at] + m["],
  ["dense/split_subgroup", "- m_new), inside)", "+ m_new), inside)"],
  ["dense/split_ragged", "exp2(portion_stats[i].x - m)", "exp2(portion_stats[i].x + m)"],
  ["dense/split_matrix", "exp2(p[i] - m)", "exp2(p[i] + m)"],
  ["dense/split_scatter", "- m_new), token < length)", "+ m_new), token < length)"],
  ["dense/token_pool", "exp2(s[t] - m_new)", "exp2(s[t] + m_new)"],
  ["dense/gpt_fast_qk", "logit += sums[", "logit -= sums["],
  ["dense/gpt_fast_softmax", "- m) / l", "+ m) / l"],
  ["dense/gpt_fast_pv", "acc[part] += p[t]", "acc[part] -= p[t]"],
  ["dense/gpt_fast_reduce", "row += sums[", "row -= sums["],
].map(([kernel, find, replace]) => ({ kernel, find, replace }));

/**
 * The source with the wrong sign in it.
 *
 * @throws {RangeError} unless what to replace stands there exactly once.
 */
export function plant(source: string, { kernel, find, replace }: Mutant): string {
  const parts = source.split(find);
  if (parts.length === 2) return parts.join(replace);
  throw new RangeError(`"${find}" stands ${parts.length - 1} times in kernels/${kernel}.wgsl`);
}
