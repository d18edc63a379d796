// A workgroup touches a row of K and of V in every TOUCH bytes of its KV head, while it makes its
// list. That brings near the translations of the addresses of rows that it gathers later.
const TOUCH_TOKENS = max(1u, TOUCH / (16u * KV_LOADS));
const TOUCHES = 2u * u32(TOUCH > 0u) * ((CAPACITY + TOUCH_TOKENS - 1u) / TOUCH_TOKENS);
const TOUCH_TURNS = (TOUCHES + WORKGROUP - 1u) / WORKGROUP; // touches of a thread
