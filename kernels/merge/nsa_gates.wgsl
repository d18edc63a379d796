// nsa_gates.wgsl: the sum of NSA's branches, where no workgroup of attend/nsa_branches.wgsl may
// join them. The boundary between dispatches orders memory, as WGSL guarantees.
//
// Dispatch (query heads / HEADS, batch). A workgroup joins a list: its partials within each branch,
// and the branches by the gates of each query head.
const VALUE_DIM: u32 = 128u; // @param elements of a row of V
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a list, a divisor of GROUP
const WORKGROUP: u32 = 256u; // @param
const GATHER_SPLITS: u32 = 16u; // @param
const WINDOW_SPLITS: u32 = 8u; // @param

const Q_HEADS = KV_HEADS * GROUP;
const VALUE_QUADS = VALUE_DIM / 4u;
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

/// The state that attend/nsa_branches.wgsl leaves.
struct LeftState {
  arrivals: array<u32, LISTS>,
  padding: array<u32, 64u - LISTS % 64u>,
  picks: array<u32, PICK_WORDS>,
  partials: array<vec4f, LISTS * LIST_QUADS>,
}

@group(0) @binding(0) var<storage, read> gates: array<f32>;
@group(0) @binding(1) var<storage, read> hand_over: LeftState;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

var<workgroup> area: array<vec4<u32>, JOIN_AREA>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let list = wid.y * (Q_HEADS / HEADS) + wid.x;
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
