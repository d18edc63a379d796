// pq.wgsl: scores of product-quantised keys, from tables of dot products.
//
// Dispatch (shares, KV heads x HEAD_TURNS, batch). A workgroup scores the SPAN tokens of its share
// for up to four query heads of a KV head, whose tables lie side by side: one lookup serves four
// heads. It ends at once if its share lies past the sequence.
//
// A key is the centroids that its codes name, one for each of PARTS parts. So its score is the sum
// of a table entry for each part, and tables hold q . centroid of every centroid. Scores are not
// scaled. Tables of 16 bits round their entries to f16, of MOST_F16 at most.
//
// With APPEND = 1 the newest key has no code yet: the workgroup that scores it finds the nearest
// centroids while it makes the tables. pq_append.wgsl says which ones these are.
//
// A pass takes PASS_PARTS parts, whose tables fill the workgroup memory.
// 1. Load the codes of the share.
// For each pass:
// 2. Make the tables.
// 3. Find the codes of the newest key.
// 4. Look up the entries of each token, and add them to its scores.
// 5. Store the scores, and the codes of the newest key.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const CENTROID_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const PARTS: u32 = 8u; // @param parts of a key
const PASS_PARTS: u32 = 8u; // @param parts of a pass
const TABLE_BITS: u32 = 16u; // @param of an entry of a head
const APPEND: u32 = 0u; // @param 1 to make the codes of the newest key
const WORKGROUP: u32 = 256u; // @param
const TURNS: u32 = 1u; // @param loads of codes per thread and row of codes

// @shared pq_sizes
const CENTROIDS = 256u; // of a part
const PART_DIM = HEAD_DIM / PARTS; // elements of a part
const PART_QUADS = PART_DIM / 4u;
const HEAD_QUADS = HEAD_DIM / 4u;
const WORD_PARTS = min(PARTS, 4u); // parts of a token whose codes share a word
const WORD_TOKENS = 4u / WORD_PARTS; // tokens that share a word of codes
const CODE_ROWS = PARTS / WORD_PARTS; // rows of codes of a KV head
// @end
const HEADS = 4u; // query heads of a workgroup
const MOST_F16 = 65504.0;
const HEAD_TURNS = (GROUP + HEADS - 1u) / HEADS;
const TURN_TOKENS = 4u * WORD_TOKENS; // consecutive tokens of a thread's turn
const TOKENS = TURNS * TURN_TOKENS; // of a thread
const SPAN = WORKGROUP * TOKENS;
const ROW_LOADS = CAPACITY / TURN_TOKENS; // loads of a row of codes
const PASSES = PARTS / PASS_PARTS;
const TABLE = PASS_PARTS * CENTROIDS; // entries of a pass
const ENTRIES = (TABLE + WORKGROUP - 1u) / WORKGROUP; // of a thread
const TABLE_WORDS = TABLE_BITS / 16u; // pairs of words of an entry

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> centroids: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> keys: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> pq_codes: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> scores: array<vec4f>;

// At TABLE * i + entry, i < TABLE_WORDS: heads 0 to 3 as f16, or heads 2 * i and 2 * i + 1 as f32.
var<workgroup> tables: array<vec2<u32>, TABLE * TABLE_WORDS>;

// Of each part of the newest key, zero at the start: the largest nearness as a u32 of that order,
// and 255 less the first centroid that has it.
var<workgroup> best_keys: array<atomic<u32>, PARTS>;
var<workgroup> best_rests: array<atomic<u32>, PARTS>;

// @shared centroid_quad
/// Four elements of a centroid; `at` counts [B, KV heads, HEAD_QUADS, CENTROIDS].
fn centroid_quad(at: u32) -> vec4f {
  if (CENTROID_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(centroids[2u * at], centroids[2u * at + 1u]));
  }
  let pair = centroids[at];
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
// @end

// @shared key_quad
/// Elements 4 * at .. 4 * at + 3 of the keys.
fn key_quad(at: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(keys[2u * at], keys[2u * at + 1u]));
  }
  let pair = keys[at];
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  let low = pair << vec2<u32>(16u);
  let high = pair & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(low.x, high.x, low.y, high.y));
}
// @end

// @shared float_key
/// A u32 that orders f32 scores by their bits: a larger score has a larger key. -0 equals +0, and
/// NaN is below -inf.
fn float_key(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  let ordered = select(0x80000000u + magnitude, 0x7fffffffu - magnitude, bits > 0x80000000u);
  return select(ordered, 0u, magnitude > 0x7f800000u);
}
// @end

/// The code of a part of the newest key.
fn newest_code(part: u32) -> u32 {
  return CENTROIDS - 1u - atomicLoad(&best_rests[part]);
}

/// The entries of four heads.
fn table_entry(entry: u32) -> vec4f {
  let first = tables[entry];
  if (TABLE_BITS == 16u) {
    return vec4f(unpack2x16float(first.x), unpack2x16float(first.y));
  }
  return bitcast<vec4f>(vec4<u32>(first, tables[TABLE * (TABLE_WORDS - 1u) + entry]));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  let start = wid.x * SPAN;
  if (start >= length) {
    return;
  }
  let kv_head = wid.z * KV_HEADS + wid.y / HEAD_TURNS;
  let first_of_group = (wid.y % HEAD_TURNS) * HEADS;

  // 1. Load the codes.
  var words: array<vec4<u32>, TURNS * CODE_ROWS>;
  for (var turn = 0u; turn < TURNS; turn++) { // @unroll
    let load = min(start / TURN_TOKENS + turn * WORKGROUP + thread, ROW_LOADS - 1u);
    for (var row = 0u; row < CODE_ROWS; row++) { // @unroll
      words[turn * CODE_ROWS + row] = pq_codes[(kv_head * CODE_ROWS + row) * ROW_LOADS + load];
    }
  }

  let newest = length - 1u;
  let appends = APPEND == 1u && newest / SPAN == wid.x;
  var acc: array<vec4f, TOKENS>;
  var newest_acc = vec4f();
  for (var turn = 0u; turn < PASSES; turn++) { // @unroll
    let pass_first = turn * PASS_PARTS;

    // 2. Make the tables. Heads past the group repeat its last one.
    workgroupBarrier();
    var near = array<f32, ENTRIES>();
    for (var e = 0u; e < ENTRIES; e++) { // @unroll
      let entry = e * WORKGROUP + thread;
      if (entry < TABLE) {
        let first_quad = (pass_first + entry / CENTROIDS) * PART_QUADS;
        var dots = vec4f();
        for (var i = 0u; i < PART_QUADS; i++) { // @unroll
          let quad = first_quad + i;
          let values = centroid_quad(
            (kv_head * HEAD_QUADS + quad) * CENTROIDS + entry % CENTROIDS,
          );
          for (var h = 0u; h < HEADS; h++) { // @unroll
            let head = kv_head * GROUP + min(first_of_group + h, GROUP - 1u);
            dots[h] += dot(values, q[head * HEAD_QUADS + quad]);
          }
          if (appends) {
            let key = key_quad((kv_head * CAPACITY + newest) * HEAD_QUADS + quad);
            near[e] += dot(key, values) - 0.5 * dot(values, values);
          }
        }
        if (TABLE_BITS == 16u) {
          let is_large = abs(dots) > vec4f(MOST_F16);
          let bounded = select(dots, sign(dots) * MOST_F16, is_large);
          tables[entry] = vec2<u32>(pack2x16float(bounded.xy), pack2x16float(bounded.zw));
        } else {
          tables[entry] = bitcast<vec2<u32>>(dots.xy);
          tables[TABLE * (TABLE_WORDS - 1u) + entry] = bitcast<vec2<u32>>(dots.zw);
        }
      }
    }

    // 3. Find the codes of the newest key. Few threads reach what they find to be the largest yet.
    if (appends) {
      for (var e = 0u; e < ENTRIES; e++) { // @unroll
        let entry = e * WORKGROUP + thread;
        let part = pass_first + min(entry, TABLE - 1u) / CENTROIDS;
        let ordered = float_key(bitcast<u32>(near[e]));
        if (entry < TABLE && ordered > atomicLoad(&best_keys[part])) {
          atomicMax(&best_keys[part], ordered);
        }
      }
      workgroupBarrier();
      for (var e = 0u; e < ENTRIES; e++) { // @unroll
        let entry = e * WORKGROUP + thread;
        let part = pass_first + min(entry, TABLE - 1u) / CENTROIDS;
        let ordered = float_key(bitcast<u32>(near[e]));
        if (entry < TABLE && ordered == atomicLoad(&best_keys[part])) {
          atomicMax(&best_rests[part], CENTROIDS - 1u - entry % CENTROIDS);
        }
      }
    }
    workgroupBarrier();
    if (appends) {
      for (var part = 0u; part < PASS_PARTS; part++) { // @unroll
        newest_acc += table_entry(part * CENTROIDS + newest_code(pass_first + part));
      }
    }

    // 4. Look up and add.
    for (var part = 0u; part < PASS_PARTS; part++) { // @unroll
      let row = (pass_first + part) / WORD_PARTS;
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let word = words[t / TURN_TOKENS * CODE_ROWS + row][t % TURN_TOKENS / WORD_TOKENS];
        let byte = t % WORD_TOKENS * WORD_PARTS + (pass_first + part) % WORD_PARTS;
        acc[t] += table_entry(part * CENTROIDS + extractBits(word, 8u * byte, 8u));
      }
    }
  }

  // 5. Store. Scores past the length are of no token.
  for (var turn = 0u; turn < TURNS; turn++) { // @unroll
    let first = start + (turn * WORKGROUP + thread) * TURN_TOKENS;
    if (appends) {
      for (var t = 0u; t < TURN_TOKENS; t++) { // @unroll
        let at = turn * TURN_TOKENS + t;
        acc[at] = select(acc[at], newest_acc, first + t == newest);
      }
    }
    if (first < CAPACITY) {
      for (var h = 0u; h < HEADS; h++) { // @unroll
        if (first_of_group + h < GROUP) {
          let list = kv_head * GROUP + first_of_group + h;
          for (var four = 0u; four < WORD_TOKENS; four++) { // @unroll
            let t = turn * TURN_TOKENS + four * 4u;
            scores[(list * CAPACITY + first) / 4u + four] =
              vec4f(acc[t][h], acc[t + 1u][h], acc[t + 2u][h], acc[t + 3u][h]);
          }
        }
      }
    }
  }
  if (appends && first_of_group == 0u && thread < CODE_ROWS) {
    let load = (kv_head * CODE_ROWS + thread) * ROW_LOADS + newest / TURN_TOKENS;
    let place = newest % TURN_TOKENS / WORD_TOKENS;
    var word = pq_codes[load][place];
    for (var i = 0u; i < WORD_PARTS; i++) { // @unroll
      let byte = newest % WORD_TOKENS * WORD_PARTS + i;
      word = insertBits(word, newest_code(thread * WORD_PARTS + i), 8u * byte, 8u);
    }
    pq_codes[load][place] = word;
  }
}
