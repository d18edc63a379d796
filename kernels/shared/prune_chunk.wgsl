if (thread == 0u) {
  atomicStore(&kept, 0u);
}
for (var h = 0u; h < HEADS; h++) { // @unroll
  block_sums[h * WORKGROUP + thread] = select(0.0, decay[h], thread <= chunk);
}
workgroupBarrier();
let sum_row = thread / SUM_ROW;
var own: array<f32, HEADS>;
for (var h = 0u; h < HEADS; h++) { // @unroll
  own[h] = later[h];
  var all = 0.0;
  for (var i = 0u; i < SUM_ROW; i++) { // @unroll
    let each = block_sums[h * WORKGROUP + sum_row * SUM_ROW + i];
    own[h] += select(0.0, each, i < thread % SUM_ROW);
    all += each;
  }
  if (thread % SUM_ROW == 0u) {
    row_sums[h * SUM_ROWS + sum_row] = all;
  }
}
workgroupBarrier();
var is_kept = PRUNE == 0u;
for (var h = 0u; h < HEADS; h++) { // @unroll
  var all = 0.0;
  for (var r = 0u; r < SUM_ROWS; r++) { // @unroll
    own[h] += select(0.0, row_sums[h * SUM_ROWS + r], r < sum_row);
    all += row_sums[h * SUM_ROWS + r];
  }
  if (thread == 0u) {
    later[h] += all;
  }
  block_sums[h * WORKGROUP + thread] = own[h];
  // Not below it: a NaN prunes nothing.
  is_kept = is_kept || !(own[h] < thresholds[h]);
}
if (is_kept && thread <= chunk) {
  atomicMax(&kept, thread + 1u);
}
workgroupBarrier();
if (thread == 0u) {
  chunk_kept = atomicLoad(&kept);
}
let blocks = workgroupUniformLoad(&chunk_kept);
let first_tile = i32((chunk + 1u - blocks) * BLOCK_TILES);
for (var h = 0u; h < HEADS; h++) { // @unroll
  if (PRUNE == 1u && wid.x == 0u && thread == h && blocks > 0u) {
    let at = list_head(first_head, h) * (BLOCKS + 2u);
    block_decays[at] = f32((chunk + 1u - blocks) * DECAY_BLOCK);
    block_decays[at + 1u] = thresholds[h];
  }
}
