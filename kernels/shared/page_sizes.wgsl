const PAGE_TOKENS = 16u;
const PAGES = (CAPACITY / PAGE_TOKENS + 15u) / 16u * 16u; // pages that a KV head has room for
