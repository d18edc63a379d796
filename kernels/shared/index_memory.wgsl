// Rows of the index heads, then of the newest key.
var<workgroup> codes: array<vec4<u32>, (INDEX_HEADS + 1u) * ROW_LOADS>;
var<workgroup> peaks: array<u32, (INDEX_HEADS + 1u) * LANES>;
var<workgroup> factors: array<f32, INDEX_HEADS + 1u>; // weight times scale; the key's scale
var<workgroup> slice_sums: array<f32, SLICE_SUMS>;
