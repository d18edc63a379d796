// hand_over.wgsl: hands partials over as the fused kernels do and counts those that did not arrive.
//
// Dispatch (SPLITS, LISTS). Partials have the odd length that they have in the fused kernels, so
// that partials of one list share cache lines. Each list begins a line of its own, and no workgroup
// reads a line before all of its list have arrived. A barrier alone does not make an early read
// safe: on an H100, seven of eight partials were then still those of the dispatch before.
// turns[list] counts the dispatches.
//
// 1. Each workgroup stores a partial: a quad per thread, and one more.
// 2. The last workgroup of the list to arrive goes on.
// 3. It reads all partials of the list and counts the quads that are not of this dispatch.
// 4. It counts the hand-over and resets the list for the next dispatch.
const SPLITS: u32 = 8u; // @param
const LISTS: u32 = 64u; // @param
const WORKGROUP: u32 = 64u; // @param
const HAND_OVER: u32 = 1u; // @param 1 barrier, 2 atomics

const PARTIAL_QUADS = WORKGROUP + 1u;
const LINE_QUADS = 8u; // of a cache line
const LIST_QUADS = (SPLITS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS * LINE_QUADS;
const ALL_QUADS = LISTS * LIST_QUADS;
const ATOMIC_WORDS = max(64u - LISTS % 64u, 4u * ALL_QUADS * u32(HAND_OVER == 2u));
const PLAIN_QUADS = max(1u, ALL_QUADS * u32(HAND_OVER != 2u));

/// Partials that workgroups hand over, as the fused kernels declare them, with u32 for f32.
struct HandOver {
  arrivals: array<atomic<u32>, LISTS>, // zero between dispatches
  words: array<atomic<u32>, ATOMIC_WORDS>,
  partials: array<vec4<u32>, PLAIN_QUADS>,
}

/// What the check found.
struct Findings {
  wrong: atomic<u32>, // quads that were not of this dispatch
  hand_overs: atomic<u32>, // lists that were joined
  turns: array<atomic<u32>, LISTS>,
}

@group(0) @binding(0) var<storage, read_write> hand_over: HandOver;
@group(0) @binding(1) var<storage, read_write> findings: Findings;

var<workgroup> is_last: u32;

/// Stores a quad of a partial for the workgroup that joins the splits.
fn store_partial(at: u32, quad: vec4<u32>) {
  if (HAND_OVER == 2u) {
    atomicStore(&hand_over.words[at * 4u], quad.x);
    atomicStore(&hand_over.words[at * 4u + 1u], quad.y);
    atomicStore(&hand_over.words[at * 4u + 2u], quad.z);
    atomicStore(&hand_over.words[at * 4u + 3u], quad.w);
  } else {
    hand_over.partials[at] = quad;
  }
}

/// Loads a quad of a partial that another workgroup stored.
fn load_partial(at: u32) -> vec4<u32> {
  if (HAND_OVER == 2u) {
    let x = atomicLoad(&hand_over.words[at * 4u]);
    let y = atomicLoad(&hand_over.words[at * 4u + 1u]);
    let z = atomicLoad(&hand_over.words[at * 4u + 2u]);
    let w = atomicLoad(&hand_over.words[at * 4u + 3u]);
    return vec4<u32>(x, y, z, w);
  }
  return hand_over.partials[at];
}

/// The quad that place `at` must hold in dispatch `turn`. It differs between all dispatches.
fn expected(turn: u32, at: u32) -> vec4<u32> {
  let hash = (turn * 0x9e3779b9u) ^ (at * 0x85ebca6bu);
  return vec4<u32>(hash, hash ^ 0xc2b2ae35u, turn, at);
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
  let list = wid.y;
  let first = list * LIST_QUADS;
  let own = first + wid.x * PARTIAL_QUADS;
  let turn = atomicLoad(&findings.turns[list]) + 1u;

  // 1. Store a partial.
  store_partial(own + thread, expected(turn, own + thread));
  if (thread == 0u) {
    store_partial(own + WORKGROUP, expected(turn, own + WORKGROUP));
  }

  // 2. The last workgroup of the list to arrive goes on.
  if (!arrives_last(list, thread)) {
    return;
  }
  storageBarrier();

  // 3. It counts the quads that are not of this dispatch.
  for (var i = thread; i < SPLITS * PARTIAL_QUADS; i += WORKGROUP) {
    if (any(load_partial(first + i) != expected(turn, first + i))) {
      atomicAdd(&findings.wrong, 1u);
    }
  }

  // 4. It counts the hand-over and resets the list for the next dispatch.
  if (thread == 0u) {
    atomicStore(&hand_over.arrivals[list], 0u);
    atomicAdd(&findings.hand_overs, 1u);
    atomicStore(&findings.turns[list], turn);
  }
}
