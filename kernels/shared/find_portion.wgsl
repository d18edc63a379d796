/// The part of a sequence that a workgroup takes.
struct Portion {
  sequence: u32,
  split: u32, // place of the workgroup among those of the sequence
  splits: u32, // workgroups of the sequence; 0 if the workgroup has no part
  all: u32, // units of all sequences
}

/// The workgroups of a sequence with `units` units, where all sequences have `all`. `bounds` are
/// the workgroups among which these are shared out, the most workgroups of a sequence, and the most
/// units of a workgroup.
fn splits_of(units: u32, all: u32, bounds: vec3<u32>) -> u32 {
  let quota = min((all + bounds.x - 1u) / bounds.x, bounds.z);
  return min((units + quota - 1u) / quota, bounds.y);
}

/// The portion of a workgroup: portions are numbered through all sequences. Every subgroup finds it
/// for itself; a lane has a run of sequences.
fn find_portion(index: u32, thread: u32, lane: u32, lanes: u32) -> Portion {
  let run = (BATCH + lanes - 1u) / lanes;
  let run_begin = min(lane * run, BATCH);
  let run_end = min(run_begin + run, BATCH);
  var units = 0u;
  for (var b = run_begin; b < run_end; b++) {
    units += units_of(b);
  }
  let all = subgroupAdd(units);
  var portions = 0u;
  for (var b = run_begin; b < run_end; b++) {
    portions += splits_of(units_of(b), all, PORTION_BOUNDS);
  }
  let through = subgroupInclusiveAdd(portions);
  // The lane that has the portion looks for its sequence.
  var found = vec2<u32>(0u);
  if (through - portions <= index && index < through) {
    found = vec2<u32>(run_begin, index - (through - portions));
    var splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
    for (; found.y >= splits;) {
      found = vec2<u32>(found.x + 1u, found.y - splits);
      splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
    }
  }
  found = subgroupMax(found);
  let has_portion = index < subgroupMax(through);
  let splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
  if (thread == 0u) {
    own_portion = vec4<u32>(found, select(0u, splits, has_portion), all);
  }
  let own = workgroupUniformLoad(&own_portion);
  return Portion(own.x, own.y, own.z, own.w);
}
