const BLOCK = 64u; // tokens of a block
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK; // blocks of a full cache
const Q_HEADS = KV_HEADS * GROUP;
