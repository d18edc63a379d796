const STRIDE = 16u; // tokens from a compressed row to the next one
const SPAN = 32u; // tokens of a compressed row
const WINDOW = 512u; // last tokens, which the window attends
const FIRST_COMPRESSED = CAPACITY; // row of a KV head in the caches: the tokens come first
const FIRST_RECENT = CAPACITY + CAPACITY / STRIDE; // row of the window's ring
const CACHE_ROWS = FIRST_RECENT + WINDOW;
