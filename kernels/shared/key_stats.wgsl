// Of each KV head: two sums of squared factor values, and with CENTRE = 1 the mean key.
const HEAD_STATS = 2u + CENTRE * HEAD_DIM;
