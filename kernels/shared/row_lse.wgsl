for (var i = thread; i < GROUP * COMPRESSED_SPLITS; i += WORKGROUP) {
  group_stats[i] = compressed_state.split_stats[kv_head * GROUP * COMPRESSED_SPLITS + i];
}
workgroupBarrier();
for (var h = thread; h < GROUP; h += WORKGROUP) {
  var m = NEG_LARGE;
  for (var split = 0u; split < COMPRESSED_SPLITS; split++) { // @unroll
    m = max(m, group_stats[h * COMPRESSED_SPLITS + split].x);
  }
  var l = 0.0;
  for (var split = 0u; split < COMPRESSED_SPLITS; split++) { // @unroll
    let stats = group_stats[h * COMPRESSED_SPLITS + split];
    l += stats.y * exp2(stats.x - m);
  }
  row_lse[h] = m + log2(l);
}
workgroupBarrier();
