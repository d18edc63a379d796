const PARTIAL_QUADS = HEAD_QUADS + 1u; // acc, then (m, l, 0, 0)
const LINE_QUADS = 8u; // of a cache line
const SLOT_LINES = (LIST_HEADS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS;
const SLOT_QUADS = SLOT_LINES * LINE_QUADS; // of the partials of a portion
const LIST_SLOTS = SPLITS + BATCH - 1u; // of a list of every sequence
const ALL_QUADS = SEQUENCE_LISTS * LIST_SLOTS * SLOT_QUADS;
