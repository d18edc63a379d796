const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const ROW_SLOTS = ROW_LOADS + 1u; // 16-byte slots of a staged row: rows begin in different banks
const K_LOADS = TILE * ROW_LOADS / WORKGROUP; // of keys per thread
const HEAD_LANES = WORKGROUP / TILE; // threads that share the heads of a row
const OWN_HEADS = (HEADS + HEAD_LANES - 1u) / HEAD_LANES; // heads of such a thread
const HEAD_QUADS = HEAD_DIM / 4u;
const VALUE_QUADS = VALUE_DIM / 4u;
const SLICES = WORKGROUP / VALUE_QUADS; // slices of a tile's values, added up at the end
const V_ROWS = (TILE + SLICES - 1u) / SLICES; // rows of a slice
const V_PAIRS = 3u - QUADS; // 8-byte loads of a quad of values
const V_LOADS = V_ROWS * V_PAIRS;
const MAX_PARTS = 8u; // parts of a tile whose maxima are found side by side
const PART_ROWS = TILE / MAX_PARTS;
const JOINED = min(HEADS, TILE / 16u); // heads whose slices are added up at a time
const JOIN_TURNS = (HEADS + JOINED - 1u) / JOINED;
const AREA = max(TILE * ROW_SLOTS, JOINED * SLICES * VALUE_QUADS);
