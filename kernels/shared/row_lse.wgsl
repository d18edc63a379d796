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
