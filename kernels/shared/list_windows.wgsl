// With PAGE > 1 a list has pages, not tokens. A page with a token of a window is in the window,
// and the newest page is always in the recent one.
let tokens = lengths[wid.z];
let length = (tokens + PAGE - 1u) / PAGE; // of the list
let sink_end = (min(SINK, tokens) + PAGE - 1u) / PAGE;
let recent = min(max(RECENT, u32(PAGE > 1u)), tokens);
let recent_start = max(sink_end, (tokens - recent) / PAGE);
let wanted = select(tokens / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u) / PAGE;
let picks_wanted = min(wanted, recent_start - sink_end);
