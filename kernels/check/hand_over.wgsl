// Hands partials over as the fused attention kernels do, and counts what did not arrive.
//
// Dispatch (SPLITS, LISTS): each workgroup leaves a quad per thread and one more, and the last of a
// list to arrive reads those of all. Partials have the kernels' odd length, so that those of a list
// meet within cache lines; lists begin a line each. Nobody reads a line before all have arrived: a
// barrier alone would not be enough then (on an H100, seven of eight partials came out as they were
// in the dispatch before). turns[list] counts the dispatches.
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

/// As in the fused kernels.
struct HandOver {
  arrivals: array<atomic<u32>, LISTS>, // zero between dispatches
  words: array<atomic<u32>, ATOMIC_WORDS>,
  partials: array<vec4<u32>, PLAIN_QUADS>,
}

/// What the check found.
struct Findings {
  wrong: atomic<u32>, // quads that were not those of this dispatch
  hand_overs: atomic<u32>, // lists that were joined
  turns: array<atomic<u32>, LISTS>,
}

@group(0) @binding(0) var<storage, read_write> hand_over: HandOver;
@group(0) @binding(1) var<storage, read_write> findings: Findings;

var<workgroup> is_last: u32;

/// Leaves a quad for whoever joins the splits.
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

/// A quad that some workgroup left.
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

/// The quad that belongs to a place in a dispatch: another one in every dispatch.
fn expected(turn: u32, at: u32) -> vec4<u32> {
  let hash = (turn * 0x9e3779b9u) ^ (at * 0x85ebca6bu);
  return vec4<u32>(hash, hash ^ 0xc2b2ae35u, turn, at);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let list = wid.y;
  let first = list * LIST_QUADS;
  let own = first + wid.x * PARTIAL_QUADS;
  let turn = atomicLoad(&findings.turns[list]) + 1u;
  store_partial(own + thread, expected(turn, own + thread));
  if (thread == 0u) {
    store_partial(own + WORKGROUP, expected(turn, own + WORKGROUP));
  }
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == SPLITS - 1u);
  }
  if (workgroupUniformLoad(&is_last) == 0u) {
    return;
  }
  storageBarrier();
  for (var i = thread; i < SPLITS * PARTIAL_QUADS; i += WORKGROUP) {
    if (any(load_partial(first + i) != expected(turn, first + i))) {
      atomicAdd(&findings.wrong, 1u);
    }
  }
  if (thread == 0u) {
    atomicStore(&hand_over.arrivals[list], 0u);
    atomicAdd(&findings.hand_overs, 1u);
    atomicStore(&findings.turns[list], turn);
  }
}
