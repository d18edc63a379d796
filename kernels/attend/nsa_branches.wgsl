// nsa_branches.wgsl: blocks and window of Native Sparse Attention (NSA), and the sum of all
// branches.
//
// Dispatch (GATHER_SPLITS + WINDOW_SPLITS + 1, query heads / HEADS, batch). A list is HEADS query
// heads of one KV head; all lists of a KV head attend the same blocks. The first workgroups of a
// list take every GATHER_SPLITS-th of its blocks each, the next ones every WINDOW_SPLITS-th tile of
// the window, and the last one joins the splits of the compressed branch. Each stores a partial
// (acc, m, l) per query head. Logits are in log2 units.
//
// The first block and the last two are taken, and those with the largest scores; of equal scores
// that of the lowest index. A block score that is NaN comes last. With SCORED = 0 each of the first
// workgroups scores the blocks itself, with SCORED = 1 score/nsa_blocks.wgsl has done so.
//
// HAND_OVER selects who joins the partials of a list:
//   0  merge/nsa_gates.wgsl does, in a dispatch of its own. WGSL guarantees that this works.
//   1  The last workgroup to arrive does. No workgroup waits. But storageBarrier() has to order
//      memory for the whole device: naga's SPIR-V does so, WGSL does not promise it.
//   2  As 0.
//
// 1. Stage the queries.
// 2. In the first workgroups, select blocks. The 16th best of BESTS group maxima is a lower bound
//    of the 16th best block, so that few blocks are left to be ranked.
// 3. Attend the tiles of the split as attend/nsa_compressed.wgsl does.
// 4. Add up the slices and store the partials.
// 5. In the last workgroup of a list, join the compressed branch into one partial instead.
// 6. In the last workgroup to arrive, join the branches by their gates.
const HEAD_DIM: u32 = 128u; // @param
const VALUE_DIM: u32 = 128u; // @param elements of a row of V
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a list, a divisor of GROUP
const CAPACITY: u32 = 1024u; // @param tokens that a cache has room for
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 256u; // @param
const TILE: u32 = 64u; // @param rows that are attended at a time
const COMPRESSED_SPLITS: u32 = 8u; // @param
const GATHER_SPLITS: u32 = 16u; // @param
const WINDOW_SPLITS: u32 = 8u; // @param
const SCORED: u32 = 0u; // @param 1 if the blocks have scores
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics

// @shared nsa_sizes
const STRIDE = 16u; // tokens from a compressed row to the next one
const SPAN = 32u; // tokens of a compressed row
const WINDOW = 512u; // last tokens, which the window attends
const FIRST_COMPRESSED = CAPACITY; // row of a KV head in the caches: the tokens come first
const FIRST_RECENT = CAPACITY + CAPACITY / STRIDE; // row of the window's ring
const CACHE_ROWS = FIRST_RECENT + WINDOW;
// @end
// @shared block_sizes
const BLOCK = 64u; // tokens of a block
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK; // blocks of a full cache
const Q_HEADS = KV_HEADS * GROUP;
// @end
// @shared tile_layout
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const ROW_SLOTS = ROW_LOADS + 1u; // 16-byte slots of a staged row: rows begin in different banks
const K_LOADS = TILE * ROW_LOADS / WORKGROUP; // of keys per thread
const HEAD_LANES = WORKGROUP / TILE; // threads that share the heads of a row
const OWN_HEADS = (HEADS + HEAD_LANES - 1u) / HEAD_LANES; // heads of such a thread
const HEAD_QUADS = HEAD_DIM / 4u;
const VALUE_QUADS = VALUE_DIM / 4u;
const SLICES = WORKGROUP / VALUE_QUADS; // slices of a tile's values, added up at the end
const V_ROWS = (TILE + SLICES - 1u) / SLICES; // rows of a slice
const V_PAIRS = 3u - QUADS; // 8-byte loads of a quad of values
const V_LOADS = V_ROWS * V_PAIRS;
const MAX_PARTS = 8u; // parts of a tile whose maxima are found side by side
const PART_ROWS = TILE / MAX_PARTS;
const JOINED = min(HEADS, TILE / 16u); // heads whose slices are added up at a time
const JOIN_TURNS = (HEADS + JOINED - 1u) / JOINED;
const AREA = max(TILE * ROW_SLOTS, JOINED * SLICES * VALUE_QUADS);
// @end
// @shared branch_state
const SPLITS = GATHER_SPLITS + WINDOW_SPLITS + 1u; // of a list; the last is the compressed branch
const PICKS = 16u; // blocks that a group attends
const LISTS = BATCH * Q_HEADS / HEADS;
const PICK_WORDS = (BATCH * KV_HEADS * PICKS + 31u) / 32u * 32u;
const PARTIAL_QUADS = VALUE_QUADS + 1u; // acc, then (m, l, 0, 0)
const LINE_QUADS = 8u; // of a cache line: no two lists share one
const LIST_LINES = (HEADS * SPLITS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS;
const LIST_QUADS = LIST_LINES * LINE_QUADS;
const OUT_QUADS = HEADS * VALUE_QUADS; // vec4f of a list's output
const JOIN_SLICES = max(WORKGROUP / OUT_QUADS, 1u); // slices of the splits, joined side by side
const JOIN_THREADS = WORKGROUP / JOIN_SLICES;
const SLICE_SPLITS = (SPLITS + JOIN_SLICES - 1u) / JOIN_SLICES;
const BRANCH_SPLITS = max(GATHER_SPLITS, WINDOW_SPLITS); // most splits of a branch
const STATS = WORKGROUP; // slots of area behind the sums: (m, l) of the splits, then their weights
const WEIGHTS = STATS + HEADS * SPLITS;
const JOIN_AREA = WEIGHTS + HEADS * SPLITS;
// @end
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end
const BLOCK_TILES = BLOCK / TILE;
const THREAD_BLOCKS = (BLOCKS + WORKGROUP - 1u) / WORKGROUP;
const BESTS = 64u + (WORKGROUP - 64u) * u32(THREAD_BLOCKS > 8u); // groups of blocks
const BEST_THREADS = WORKGROUP / BESTS; // threads of such a group
const FINALISTS = PICKS * BEST_THREADS * THREAD_BLOCKS; // most blocks that are ranked
const HEAD_BLOCKS = THREAD_BLOCKS * GROUP; // logits of a thread, in fours
const AHEAD = max(1u, HEAD_BLOCKS * u32(HEAD_BLOCKS <= 8u)); // of them requested at once
const IS_AHEAD = SCORED == 0u && HEAD_BLOCKS <= 8u;
const IN_FLIGHT = min(COMPRESSED_SPLITS, 16u); // partials that a thread joins at a time
const STATS_HEADS = HEADS + (GROUP - HEADS) * (1u - SCORED);
const FORCED = 0xffffffffu; // key of a block that is always taken

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read> branch_keys: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> branch_values: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> compressed_state: CompressedState;
@group(0) @binding(6) var<storage, read_write> hand_over: BranchState;
@group(0) @binding(7) var<storage, read_write> out: array<vec4f>;

// @shared compressed_state
/// What the compressed branch leaves to the others.
struct CompressedState {
  partials: array<vec4f, BATCH * Q_HEADS * COMPRESSED_SPLITS * VALUE_QUADS>,
  logits: array<vec4f, BATCH * Q_HEADS * BLOCKS>, // of the rows that begin in a block
  block_scores: array<f32, (BATCH * KV_HEADS * BLOCKS + 3u) / 4u * 4u>,
  split_stats: array<vec2f, BATCH * Q_HEADS * COMPRESSED_SPLITS>, // (m, l) of the partials
}
// @end

/// Blocks that were taken, and partials. A barrier does not drop what a processor has cached. So
/// nobody reads a line of partials before all of its list have arrived.
struct BranchState {
  arrivals: array<atomic<u32>, LISTS>, // zero between steps
  padding: array<u32, 64u - LISTS % 64u>,
  picks: array<u32, PICK_WORDS>,
  partials: array<vec4f, LISTS * LIST_QUADS>,
}

var<workgroup> query: array<vec4f, HEADS * HEAD_QUADS>;
// Finalists and bests of threads, then keys, then slices of the sums, then what joins the branches.
var<workgroup> area: array<vec4<u32>, max(AREA, max(WORKGROUP + FINALISTS, JOIN_AREA))>;
var<workgroup> row_weights: array<f32, HEADS * TILE>; // logits, then weights
var<workgroup> maxima: array<f32, HEADS * MAX_PARTS>;
var<workgroup> split_m: array<f32, HEADS>;
var<workgroup> slice_l: array<f32, JOINED * SLICES>;
var<workgroup> group_stats: array<vec2f, STATS_HEADS * COMPRESSED_SPLITS>; // (m, l)
var<workgroup> row_lse: array<f32, GROUP>; // in log2 units
var<workgroup> best_ranks: array<atomic<u32>, BESTS>;
var<workgroup> cut: vec2<u32>;
var<workgroup> found: atomic<u32>;
var<workgroup> picks: array<u32, PICKS>;
var<workgroup> is_last: u32;

// @shared widen
/// Values 4 * quad .. 4 * quad + 3 of a 16-byte load of keys or values.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  let low = pair << vec2<u32>(16u);
  let high = pair & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(low.x, high.x, low.y, high.y));
}
// @end

// @shared widen_pair
/// A quad of values, which is one 8-byte load, or two of f32.
fn widen_pair(low: vec2<u32>, high: vec2<u32>) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(low, high));
  }
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(low.x), unpack2x16float(low.y));
  }
  let even = low << vec2<u32>(16u);
  let odd = low & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(even.x, odd.x, even.y, odd.y));
}
// @end

// @shared block_score
/// A query head's part of a block's score: the probabilities of the compressed rows that overlap
/// the block, each times the overlap in strides. Rows 4 block - 1 to 4 block + 3 weigh 1, 2, 2, 2,
/// 1: `before` is the logit of the first one, `own` are those of the others.
///
/// Only the first block and the last two lack some of these rows. They are taken in any case, so
/// their scores may be anything.
fn head_score(before: f32, own: vec4f, lse: f32) -> f32 {
  let p = exp2(own - lse);
  return exp2(before - lse) + 2.0 * (p.x + p.y + p.z) + p.w;
}

/// The score of a block of a KV head, summed over the group.
fn block_score(kv_head: u32, block: u32) -> f32 {
  var score = 0.0;
  for (var h = 0u; h < GROUP; h++) { // @unroll
    let at = (kv_head * GROUP + h) * BLOCKS + block;
    let before = compressed_state.logits[max(at, 1u) - 1u].w;
    score += head_score(before, compressed_state.logits[at], row_lse[h]);
  }
  return score;
}
// @end

/// A u32 that orders blocks by their scores, none of which is negative; zero for a block that does
/// not exist.
fn score_key(score: f32, block: u32, blocks: u32) -> u32 {
  let bits = bitcast<u32>(score);
  let key = select(bits, 0u, bits > 0x7f800000u);
  let chosen = select(key, FORCED, block == 0u || block + 2u >= blocks);
  return select(0u, chosen, block < blocks);
}

/// Whether (key, block) comes before another one, or is it.
fn is_first(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y <= b.y);
}

/// The first row of a tile in the cache of a KV head.
fn first_row(tile: u32, split: u32) -> u32 {
  if (split >= GATHER_SPLITS) {
    return FIRST_RECENT + tile * TILE;
  }
  let block = picks[split + tile / BLOCK_TILES * GATHER_SPLITS];
  return block * BLOCK + tile % BLOCK_TILES * TILE;
}

/// The rows of a tile that are attended; none behind the last token.
fn count_rows(tile: u32, split: u32, length: u32) -> u32 {
  if (split >= GATHER_SPLITS) {
    return min(TILE, min(length, WINDOW) - tile * TILE);
  }
  return min(TILE, max(length, first_row(tile, split)) - first_row(tile, split));
}

/// The logits of blocks and window are needed no more.
fn keep_logit(head: u32, row: u32, inside: bool, logit: f32) {}

/// Stores a quad of the partial of a query head, and its (m, l).
fn store_partial_of(head: u32, split: u32, quad: u32, acc: vec4f, stats: vec2f) {
  let first = head / HEADS * LIST_QUADS + (head % HEADS * SPLITS + split) * PARTIAL_QUADS;
  hand_over.partials[first + quad] = acc;
  if (quad == 0u) {
    hand_over.partials[first + VALUE_QUADS] = vec4f(stats, 0.0, 0.0);
  }
}

// @shared arrives_last
/// Counts this workgroup's arrival. True if it is the last one of its list to arrive.
fn arrives_last(list: u32, thread: u32) -> bool {
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == SPLITS - 1u);
  }
  return workgroupUniformLoad(&is_last) != 0u;
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let list = wid.z * (Q_HEADS / HEADS) + wid.y;
  let first_head = list * HEADS;
  let kv_head = first_head / GROUP;
  let cache_row = kv_head * CACHE_ROWS;
  let column = thread % VALUE_QUADS;
  let slice = thread / VALUE_QUADS;
  let tile_row = thread % TILE;
  let head_lane = thread / TILE;
  let length = lengths[wid.z];
  let blocks = (length + BLOCK - 1u) / BLOCK;

  // 1. Stage the queries.
  // @shared stage_queries
  for (var i = thread; i < HEADS * HEAD_QUADS; i += WORKGROUP) {
    let quad = q[(first_head + i / HEAD_QUADS) * HEAD_QUADS + i % HEAD_QUADS];
    query[i] = quad * (LOG2_E / sqrt(f32(HEAD_DIM)));
  }
  // @end

  // 2. Select blocks, unless all of them are taken.
  var begin = 0u;
  var end = 0u;
  var step = 1u;
  if (wid.x < GATHER_SPLITS) {
    let taken = min(blocks, PICKS);
    end = (taken + GATHER_SPLITS - 1u - wid.x) / GATHER_SPLITS * BLOCK_TILES;
    if (thread < PICKS) {
      picks[thread] = thread;
    }
    // Few logits are requested at once, with the statistics and before the length is known.
    var own: array<vec4f, AHEAD>;
    var before: array<f32, AHEAD>;
    if (IS_AHEAD) {
      for (var i = 0u; i < AHEAD; i++) { // @unroll
        let block = min(i / GROUP * WORKGROUP + thread, BLOCKS - 1u);
        let at = (kv_head * GROUP + i % GROUP) * BLOCKS + block;
        own[i] = compressed_state.logits[at];
        before[i] = compressed_state.logits[max(at, 1u) - 1u].w;
      }
    }
    if (SCORED == 0u) {
      // @shared row_lse
      for (var i = thread; i < GROUP * COMPRESSED_SPLITS; i += WORKGROUP) {
        group_stats[i] = compressed_state.split_stats[kv_head * GROUP * COMPRESSED_SPLITS + i];
      }
      workgroupBarrier();
      // No group has more heads than a workgroup has threads.
      if (thread < GROUP) {
        var m = NEG_LARGE;
        for (var split = 0u; split < COMPRESSED_SPLITS; split++) { // @unroll
          m = max(m, group_stats[thread * COMPRESSED_SPLITS + split].x);
        }
        var l = 0.0;
        for (var split = 0u; split < COMPRESSED_SPLITS; split++) { // @unroll
          let stats = group_stats[thread * COMPRESSED_SPLITS + split];
          l += stats.y * exp2(stats.x - m);
        }
        row_lse[thread] = m + log2(l);
      }
      workgroupBarrier();
      // @end
    }
    var keys: array<u32, THREAD_BLOCKS>;
    var best = vec2<u32>(0u);
    for (var i = 0u; i < THREAD_BLOCKS; i++) { // @unroll
      let block = i * WORKGROUP + thread;
      let existing = min(block, BLOCKS - 1u);
      var score = 0.0;
      if (SCORED == 1u) {
        score = compressed_state.block_scores[kv_head * BLOCKS + existing];
      } else if (IS_AHEAD) {
        for (var h = 0u; h < GROUP; h++) { // @unroll
          let at = min(i * GROUP + h, AHEAD - 1u);
          score += head_score(before[at], own[at], row_lse[h]);
        }
      } else {
        score = block_score(kv_head, existing);
      }
      keys[i] = score_key(score, block, blocks);
      let candidate = vec2<u32>(keys[i], block);
      best = select(best, candidate, i == 0u || is_first(candidate, best));
    }
    if (blocks > PICKS) {
      area[thread] = vec4<u32>(best, 0u, 0u);
      if (thread < BESTS) {
        atomicStore(&best_ranks[thread], 0u);
      }
      if (thread == 0u) {
        atomicStore(&found, 0u);
      }
      workgroupBarrier();

      // The best block of each group of threads, ranked among the groups.
      if (thread < BESTS) {
        for (var i = 0u; i < BEST_THREADS; i++) { // @unroll
          let other = area[i * BESTS + thread].xy;
          best = select(best, other, is_first(other, best));
        }
        area[thread] = vec4<u32>(best, 0u, 0u); // of the group
      }
      workgroupBarrier();
      let ranked = area[thread % BESTS].xy;
      var rank = 0u;
      for (var i = 0u; i < BESTS / BEST_THREADS; i++) { // @unroll
        let other = area[thread / BESTS * (BESTS / BEST_THREADS) + i].xy;
        rank += u32(is_first(other, ranked) && other.y != ranked.y);
      }
      atomicAdd(&best_ranks[thread % BESTS], rank);
      workgroupBarrier();
      if (thread < BESTS) {
        if (atomicLoad(&best_ranks[thread]) == PICKS - 1u) {
          cut = ranked;
        }
      }
      workgroupBarrier();

      // Blocks down to the cut, ranked among themselves.
      for (var i = 0u; i < THREAD_BLOCKS; i++) { // @unroll
        let candidate = vec2<u32>(keys[i], i * WORKGROUP + thread);
        if (is_first(candidate, cut)) {
          area[WORKGROUP + atomicAdd(&found, 1u)] = vec4<u32>(candidate, 0u, 0u);
        }
      }
      if (thread < BESTS) {
        atomicStore(&best_ranks[thread], 0u);
      }
      workgroupBarrier();
      let count = atomicLoad(&found);
      if (count <= BESTS) {
        // Usually there are about twenty: several threads rank one.
        let i = thread % BESTS;
        if (i < count) {
          let candidate = area[WORKGROUP + i].xy;
          var better = 0u; // finalists that are at least as good
          for (var other = thread / BESTS; other < count; other += BEST_THREADS) {
            better += u32(is_first(area[WORKGROUP + other].xy, candidate));
          }
          atomicAdd(&best_ranks[i], better);
        }
      } else {
        for (var i = thread; i < count; i += WORKGROUP) {
          let candidate = area[WORKGROUP + i].xy;
          var better = 0u;
          for (var other = 0u; other < count; other++) {
            better += u32(is_first(area[WORKGROUP + other].xy, candidate));
          }
          if (better <= PICKS) {
            picks[better - 1u] = candidate.y;
          }
        }
      }
      workgroupBarrier();
      if (count <= BESTS && thread < min(count, BESTS)) {
        let better = atomicLoad(&best_ranks[thread]);
        if (better <= PICKS) {
          picks[better - 1u] = area[WORKGROUP + thread].y;
        }
      }
    }
    workgroupBarrier();
    if (wid.x == 0u && first_head % GROUP == 0u && thread < taken) {
      hand_over.picks[kv_head * PICKS + thread] = picks[thread];
    }
  } else if (wid.x < SPLITS - 1u) {
    begin = wid.x - GATHER_SPLITS;
    end = (min(length, WINDOW) + TILE - 1u) / TILE;
    step = WINDOW_SPLITS;
  }

  // 3. Attend the tiles of the split, if it has any.
  let is_loaded = begin < end;
  // @shared request_tile
  // Request the first tile. Rows past its end are loaded and not used.
  var k: array<vec4<u32>, K_LOADS>;
  var v: array<vec2<u32>, V_LOADS>;
  var next_v: array<vec2<u32>, V_LOADS>;
  if (is_loaded) {
    let row = cache_row + first_row(begin, wid.x);
    for (var load = 0u; load < K_LOADS; load++) { // @unroll
      k[load] = branch_keys[row * ROW_LOADS + load * WORKGROUP + thread];
    }
    for (var load = 0u; load < V_LOADS; load++) { // @unroll
      let quad = (row + load / V_PAIRS * SLICES + slice) * VALUE_QUADS + column;
      next_v[load] = branch_values[quad * V_PAIRS + load % V_PAIRS];
    }
  }
  // @end
  // @shared attend_staged
  var acc = array<vec4f, HEADS>();
  var l = array<f32, HEADS>();
  var m: array<f32, HEADS>;
  for (var h = 0u; h < HEADS; h++) { // @unroll
    m[h] = NEG_LARGE;
  }
  for (var tile = begin; tile < end; tile += step) {
    // Stage the keys of the tile, and request the next one.
    let rows = count_rows(tile, wid.x, length);
    for (var load = 0u; load < K_LOADS; load++) { // @unroll
      let at = load * WORKGROUP + thread;
      area[at / ROW_LOADS * ROW_SLOTS + at % ROW_LOADS] = k[load];
    }
    for (var load = 0u; load < V_LOADS; load++) { // @unroll
      // What lies past the end may be NaN, which p = 0 does not remove.
      v[load] = select(vec2<u32>(0u), next_v[load], load / V_PAIRS * SLICES + slice < rows);
    }
    workgroupBarrier();
    if (tile + step < end) {
      let row = cache_row + first_row(tile + step, wid.x);
      for (var load = 0u; load < K_LOADS; load++) { // @unroll
        k[load] = branch_keys[row * ROW_LOADS + load * WORKGROUP + thread];
      }
      for (var load = 0u; load < V_LOADS; load++) { // @unroll
        let quad = (row + load / V_PAIRS * SLICES + slice) * VALUE_QUADS + column;
        next_v[load] = branch_values[quad * V_PAIRS + load % V_PAIRS];
      }
    }

    // Compute the logits of a row for some of the heads.
    var s = array<f32, OWN_HEADS>();
    for (var chunk = 0u; chunk < ROW_LOADS; chunk++) { // @unroll
      let raw = area[tile_row * ROW_SLOTS + chunk];
      for (var quad = 0u; quad < QUADS; quad++) { // @unroll
        let k_quad = widen(raw, quad);
        for (var i = 0u; i < OWN_HEADS; i++) { // @unroll
          let h = min(head_lane + i * HEAD_LANES, HEADS - 1u);
          s[i] += dot(k_quad, query[h * HEAD_QUADS + chunk * QUADS + quad]);
        }
      }
    }
    for (var i = 0u; i < OWN_HEADS; i++) { // @unroll
      let h = head_lane + i * HEAD_LANES;
      // A masked logit lies below every m, also below the first: so its p is 0.
      s[i] = select(2.0 * NEG_LARGE, s[i], tile_row < rows);
      if (h < HEADS) {
        row_weights[h * TILE + tile_row] = s[i];
        keep_logit(first_head + h, tile * TILE + tile_row, tile_row < rows, s[i]);
      }
    }
    workgroupBarrier();

    // Find the maximum of each head, in two steps.
    for (var i = thread; i < HEADS * MAX_PARTS; i += WORKGROUP) {
      var most = NEG_LARGE;
      for (var row = 0u; row < PART_ROWS; row++) { // @unroll
        most = max(most, row_weights[i * PART_ROWS + row]);
      }
      maxima[i] = most;
    }
    workgroupBarrier();
    for (var h = 0u; h < HEADS; h++) { // @unroll
      var m_new = m[h];
      for (var part = 0u; part < MAX_PARTS; part++) { // @unroll
        m_new = max(m_new, maxima[h * MAX_PARTS + part]);
      }
      let alpha = exp2(m[h] - m_new);
      m[h] = m_new;
      l[h] *= alpha;
      acc[h] *= alpha;
      if (head_lane == h % HEAD_LANES) {
        row_weights[tile_row * HEADS + h] = exp2(s[h / HEAD_LANES] - m_new);
      }
    }
    workgroupBarrier();

    // Add up the values.
    for (var i = 0u; i < V_ROWS; i++) { // @unroll
      let row = i * SLICES + slice;
      let v_quad = widen_pair(v[i * V_PAIRS], v[i * V_PAIRS + V_PAIRS - 1u]);
      for (var h = 0u; h < HEADS; h++) { // @unroll
        let p = select(0.0, row_weights[min(row, TILE - 1u) * HEADS + h], row < TILE);
        l[h] += p;
        acc[h] += p * v_quad;
      }
    }
  }
  // @end

  // 4. Add up the slices and store the partials.
  if (wid.x < SPLITS - 1u) {
    // @shared join_slices_staged
    for (var h = 0u; h < HEADS; h++) { // @unroll
      if (thread == h) {
        split_m[h] = m[h];
      }
    }
    for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
      workgroupBarrier();
      for (var place = 0u; place < JOINED; place++) { // @unroll
        let h = min(turn * JOINED + place, HEADS - 1u);
        if (slice < SLICES) {
          area[(place * SLICES + slice) * VALUE_QUADS + column] = bitcast<vec4<u32>>(acc[h]);
          if (column == 0u) {
            slice_l[place * SLICES + slice] = l[h];
          }
        }
      }
      workgroupBarrier();
      for (var i = thread; i < JOINED * VALUE_QUADS; i += WORKGROUP) {
        let place = i / VALUE_QUADS;
        let h = min(turn * JOINED + place, HEADS - 1u);
        var sum = vec4f(0.0);
        var sum_l = 0.0;
        for (var slot = 0u; slot < SLICES; slot++) { // @unroll
          sum += bitcast<vec4f>(area[(place * SLICES + slot) * VALUE_QUADS + i % VALUE_QUADS]);
          sum_l += slice_l[place * SLICES + slot];
        }
        if (turn * JOINED + place < HEADS) {
          store_partial_of(first_head + h, wid.x, i % VALUE_QUADS, sum, vec2f(split_m[h], sum_l));
        }
      }
    }
    // @end
  } else {
    // 5. Join the compressed branch.
    for (var i = thread; i < HEADS * COMPRESSED_SPLITS; i += WORKGROUP) {
      group_stats[i] = compressed_state.split_stats[first_head * COMPRESSED_SPLITS + i];
    }
    workgroupBarrier();
    for (var i = thread; i < OUT_QUADS; i += WORKGROUP) {
      let h = min(i / VALUE_QUADS, HEADS - 1u);
      let partial = (first_head + h) * COMPRESSED_SPLITS;
      var most = NEG_LARGE;
      for (var split = 0u; split < COMPRESSED_SPLITS; split++) { // @unroll
        most = max(most, group_stats[h * COMPRESSED_SPLITS + split].x);
      }
      // A few loads are in flight at a time; all of them would take the registers of a workgroup.
      var sum = vec4f(0.0);
      var sum_l = 0.0;
      for (var first = 0u; first < COMPRESSED_SPLITS; first += IN_FLIGHT) {
        for (var turn = 0u; turn < IN_FLIGHT; turn++) { // @unroll
          let split = min(first + turn, COMPRESSED_SPLITS - 1u);
          let stats = group_stats[h * COMPRESSED_SPLITS + split];
          let alpha = select(0.0, exp2(stats.x - most), first + turn < COMPRESSED_SPLITS);
          sum_l += stats.y * alpha;
          let at = (partial + split) * VALUE_QUADS + i % VALUE_QUADS;
          sum += alpha * compressed_state.partials[at];
        }
      }
      store_partial_of(first_head + h, wid.x, i % VALUE_QUADS, sum, vec2f(most, sum_l));
    }
  }

  // 6. The last workgroup to arrive joins the branches by their gates.
  if (HAND_OVER != 1u) {
    return;
  }
  if (!arrives_last(list, thread)) {
    return;
  }
  storageBarrier();
  if (thread == 0u) {
    atomicStore(&hand_over.arrivals[list], 0u);
  }
  // @shared join_branches
  for (var first = 0u; first < OUT_QUADS; first += JOIN_THREADS) {
    // All loads are in flight before the first use: the join is bound by latency.
    let quad = first + thread % JOIN_THREADS;
    let join_slice = thread / JOIN_THREADS;
    let h = min(quad, OUT_QUADS - 1u) / VALUE_QUADS;
    var loaded: array<vec4f, SLICE_SPLITS>;
    for (var i = 0u; i < SLICE_SPLITS; i++) { // @unroll
      let split = min(i * JOIN_SLICES + join_slice, SPLITS - 1u);
      let partial = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
      loaded[i] = hand_over.partials[partial + quad % VALUE_QUADS];
    }

    // The weight of a split in the output: its gate, and its share of the branch.
    if (first == 0u) {
      for (var i = thread; i < HEADS * SPLITS; i += WORKGROUP) {
        let at = list * LIST_QUADS + i * PARTIAL_QUADS + VALUE_QUADS;
        area[STATS + i] = bitcast<vec4<u32>>(hand_over.partials[at]);
      }
      workgroupBarrier();
      for (var i = thread; i < HEADS * SPLITS; i += WORKGROUP) {
        let split = i % SPLITS;
        let selected = split < GATHER_SPLITS;
        let compressed = split == SPLITS - 1u;
        let own_first = select(i - split, i - split + GATHER_SPLITS, !selected);
        let own_count = select(select(WINDOW_SPLITS, GATHER_SPLITS, selected), 1u, compressed);
        let begin = select(own_first, i, compressed);
        var m = NEG_LARGE;
        for (var each = 0u; each < BRANCH_SPLITS; each++) { // @unroll
          m = max(m, bitcast<f32>(area[STATS + begin + min(each, own_count - 1u)].x));
        }
        var l = 0.0;
        for (var each = 0u; each < BRANCH_SPLITS; each++) { // @unroll
          let stats = bitcast<vec4f>(area[STATS + begin + min(each, own_count - 1u)]);
          l += select(0.0, stats.y * exp2(stats.x - m), each < own_count);
        }
        let attends = !(l <= 0.0); // a NaN goes on
        let branch = select(select(2u, 1u, selected), 0u, compressed);
        let gate = gates[(list * HEADS + i / SPLITS) * 3u + branch];
        let share = exp2(bitcast<f32>(area[STATS + i].x) - m) / l;
        area[WEIGHTS + i] = bitcast<vec4<u32>>(vec4f(select(0.0, gate * share, attends)));
      }
      workgroupBarrier();
    }

    var sum = vec4f(0.0);
    for (var i = 0u; i < SLICE_SPLITS; i++) { // @unroll
      let split = i * JOIN_SLICES + join_slice;
      let weight = bitcast<f32>(area[WEIGHTS + h * SPLITS + min(split, SPLITS - 1u)].x);
      sum += select(vec4f(0.0), weight * loaded[i], split < SPLITS);
    }
    area[thread] = bitcast<vec4<u32>>(sum);
    workgroupBarrier();
    if (join_slice == 0u && quad < OUT_QUADS) {
      sum = vec4f(0.0);
      for (var other = 0u; other < JOIN_SLICES; other++) { // @unroll
        sum += bitcast<vec4f>(area[other * JOIN_THREADS + thread]);
      }
      out[list * OUT_QUADS + quad] = sum;
    }
    workgroupBarrier();
  }
  // @end
}
