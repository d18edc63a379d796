const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const CHUNKS = (ROW_LOADS + LANES - 1u) / LANES; // loads of a row per thread
const PARTS = CHUNKS * QUADS; // vec4f of a row per thread
const ROWS = WORKGROUP / LANES; // rows that the workgroup reads side by side
const LOADS = TOKENS * CHUNKS; // loads in flight per thread
const HEAD_QUADS = HEAD_DIM / 4u;
