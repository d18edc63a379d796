let sink_end = min(SINK, length);
let recent_start = max(sink_end, length - min(RECENT, length));
let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
let picks_wanted = min(wanted, recent_start - sink_end);
