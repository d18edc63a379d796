const CENTROIDS = 256u; // of a part
const PART_DIM = HEAD_DIM / PARTS; // elements of a part
const PART_QUADS = PART_DIM / 4u;
const HEAD_QUADS = HEAD_DIM / 4u;
const WORD_PARTS = min(PARTS, 4u); // parts of a token whose codes share a word
const WORD_TOKENS = 4u / WORD_PARTS; // tokens that share a word of codes
const CODE_ROWS = PARTS / WORD_PARTS; // rows of codes of a KV head
