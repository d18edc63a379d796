// cascade.wgsl: dense decode attention over a prefix that all sequences share.
// The prefix level of a cascade (Hydragen, arXiv 2402.05099; FlashInfer's shared prefix): the query
// heads of a KV head of all sequences are the rows of one matrix, which share a read of K and V.
//
// Dispatch (splits, KV heads, tiles of rows). A workgroup owns ROWS rows, each a query head of a
// sequence, and walks over every SPLITS-th tile of COLUMNS keys of the prefix. It stores an
// unnormalised partial (acc, m, l) for each row behind the OWN_SPLITS partials of the sequence's
// own tokens, which split.wgsl makes. merge/merge.wgsl joins all of them.
//
// The tiles of rows of a KV head run side by side, and find each other's keys in the cache. With
// more than about 16 rows multiply-adds bind, not bytes. So products are outer products in
// registers: a thread computes MY_ROWS x MY_COLUMNS scores, then MY_ROWS x MY_QUADS vec4f of the
// output. Queries and keys pass through workgroup memory DEPTH quads at a time, values and the p of
// their keys KEYS keys at a time. So a tile may have many keys, which saves reads of queries, in
// little memory, which leaves room for other workgroups. Each chunk is requested while the one
// before it is computed.
//
// 1. Stage a chunk of the queries and keys, and request the next one.
// 2. Add its products to the scores. Repeat 1 and 2 for all chunks of the head dimension.
// 3. Update the running maximum m, and rescale l and acc.
// 4. Compute p = exp2(score - m).
// 5. Stage a chunk of p and of the values, and request the next values.
// 6. Add p times values to acc. Repeat 5 and 6 for all chunks, and 1 to 6 for all tiles of keys.
// 7. Sum l over the threads of a row, and store the partial.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 8u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const PREFIX: u32 = 1024u; // @param tokens that all sequences share
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const ROWS: u32 = 32u; // @param rows of a workgroup
const COLUMNS: u32 = 64u; // @param keys of a tile
const COLUMN_THREADS: u32 = 16u; // @param threads that share a row
const DEPTH: u32 = 8u; // @param vec4f of a query or key staged at a time
const KEYS: u32 = 16u; // @param rows of V staged at a time
const SPLITS: u32 = 8u; // @param of the prefix
const OWN_SPLITS: u32 = 1u; // @param partials of the sequence's own tokens

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const HEAD_QUADS = HEAD_DIM / 4u;
const ROW_THREADS = WORKGROUP / COLUMN_THREADS;
const NEIGHBOURS = min(COLUMN_THREADS, 8u); // consecutive threads of a row
const MY_ROWS = ROWS / ROW_THREADS; // row i of a thread is row i * ROW_THREADS + row_thread
const MY_ROW_QUADS = MY_ROWS / 4u;
const MY_COLUMNS = COLUMNS / COLUMN_THREADS; // adjacent keys
const MY_COLUMN_QUADS = MY_COLUMNS / 4u;
const MY_QUADS = HEAD_QUADS / COLUMN_THREADS; // vec4f of a row of the output per thread
const MY_SCORES = MY_ROWS * MY_COLUMNS;
const MY_OUTPUTS = MY_ROWS * MY_QUADS;
const CHUNKS = HEAD_QUADS / DEPTH; // chunks of the head dimension
const CHUNK_LOADS = DEPTH / QUADS; // loads of a key in a chunk
const VALUE_CHUNKS = COLUMNS / KEYS;
const KEY_QUADS = KEYS / 4u; // a quad holds p of four keys
const CHUNK_ROWS = (ROWS + 7u) / 8u * 8u; // as chunk_row() counts them
const QUERY_TURNS = (DEPTH * CHUNK_ROWS + WORKGROUP - 1u) / WORKGROUP; // loads of a thread
const KEY_TURNS = (CHUNK_LOADS * COLUMNS + WORKGROUP - 1u) / WORKGROUP;
const VALUE_TURNS = (KEYS * ROW_LOADS + WORKGROUP - 1u) / WORKGROUP;
const LOADS = max(KEY_TURNS, VALUE_TURNS);
const STAGE_SLOTS = max(DEPTH * MY_COLUMNS, KEYS * MY_QUADS);
const ROW_SLOTS = max(max(DEPTH, KEY_QUADS) * MY_ROWS, MY_ROW_QUADS * COLUMN_THREADS);
const ALL_ROWS = BATCH * GROUP; // of a KV head
const STRIDE = SPLITS * COLUMNS; // tokens from a tile of a split to its next one
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end
// @shared logit_scale
const SCALE = LOG2_E / sqrt(f32(HEAD_DIM)); // from a dot to a logit
// @end

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> partial_out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> partial_stats: array<vec2f>;

/// Queries, then p. In steps 3 and 7, m and l of the threads that share a row.
var<workgroup> row_stage: array<array<vec4f, ROW_THREADS>, ROW_SLOTS>;
/// Keys, then values.
var<workgroup> stage: array<array<vec4f, COLUMN_THREADS>, STAGE_SLOTS>;

// @shared query_quad
/// A quad of the queries.
fn query_quad(at: u32) -> vec4f {
  return q[at];
}
// @end

// @shared capped
/// A logit under the soft cap, of which there is none in this text: see core/formats.ts.
fn capped(logit: f32) -> f32 {
  return logit;
}
// @end

// @shared widen
/// Values 4 * quad .. 4 * quad + 3 of a 16-byte load of keys or values.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  let low = pair << vec2<u32>(16u);
  let high = pair & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(low.x, high.x, low.y, high.y));
}
// @end

// @shared add_dot
/// sum + dot(a, b), as four fused multiply-adds.
fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
// @end

/// The query head, counted through all sequences, of a row of a KV head. Rows past the last repeat
/// it.
fn head_of(kv_head: u32, row: u32) -> u32 {
  let own = min(row, ALL_ROWS - 1u);
  return (own / GROUP * KV_HEADS + kv_head) * GROUP + own % GROUP;
}

/// Row of element `at` of a chunk that has `depth` elements a row. Eight consecutive threads take
/// one element of eight rows: neither their loads nor their stores collide.
fn chunk_row(at: u32, depth: u32) -> u32 {
  return at / (8u * depth) * 8u + at % 8u;
}

/// Place in its row of element `at` of such a chunk.
fn chunk_place(at: u32, depth: u32) -> u32 {
  return at / 8u % depth;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let kv_head = wid.y;
  let first_row = wid.z * ROWS;
  let begin = wid.x * COLUMNS;
  let cache = kv_head * PREFIX;
  // Blocks of threads as square as possible read the fewest different quads at a time.
  let row_thread = thread / NEIGHBOURS % ROW_THREADS;
  let block = thread / (NEIGHBOURS * ROW_THREADS);
  let column_thread = block * NEIGHBOURS + thread % NEIGHBOURS;

  var acc: array<vec4f, MY_OUTPUTS>;
  var l: array<vec4f, MY_ROW_QUADS>; // of this thread's columns alone
  var m: array<vec4f, MY_ROW_QUADS>;
  for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
    m[i] = vec4f(NEG_LARGE);
  }
  // Keys past the end of the prefix repeat its last token. Step 3 masks their scores.
  var loaded_q: array<vec4f, QUERY_TURNS>;
  var loaded: array<vec4<u32>, LOADS>; // of keys, then of values
  var my_query: array<u32, QUERY_TURNS>; // the first load of each turn
  for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    let row = first_row + min(chunk_row(at, DEPTH), ROWS - 1u);
    my_query[i] = head_of(kv_head, row) * HEAD_QUADS + chunk_place(at, DEPTH);
    loaded_q[i] = query_quad(my_query[i]);
  }
  var my_column: array<u32, KEY_TURNS>; // the key of each turn
  for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    let slot = min(chunk_row(at, CHUNK_LOADS), COLUMNS - 1u);
    my_column[i] = slot % COLUMN_THREADS * MY_COLUMNS + slot / COLUMN_THREADS;
    let token = min(begin + my_column[i], PREFIX - 1u);
    loaded[i] = keys[(cache + token) * ROW_LOADS + chunk_place(at, CHUNK_LOADS)];
  }
  for (var first_key = begin; first_key < PREFIX; first_key += STRIDE) {
    // The initial value is explicit: without one, naga zeroes the scores once, not in every turn.
    var scores = array<f32, MY_SCORES>();
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      // 1. Stage a chunk of the queries and keys, and request the next one, or the first values.
      workgroupBarrier();
      for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        let row = chunk_row(at, DEPTH);
        let quad = chunk_place(at, DEPTH);
        if (row < ROWS) {
          row_stage[quad * MY_ROWS + row / ROW_THREADS][row % ROW_THREADS] = loaded_q[i];
        }
      }
      for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        let slot = chunk_row(at, CHUNK_LOADS);
        let load = chunk_place(at, CHUNK_LOADS);
        if (slot < COLUMNS) {
          let c = slot / COLUMN_THREADS;
          for (var half = 0u; half < QUADS; half++) { // @unroll
            let place = (load * QUADS + half) * MY_COLUMNS + c;
            stage[place][slot % COLUMN_THREADS] = widen(loaded[i], half);
          }
        }
      }
      workgroupBarrier();
      let next = chunk + 1u;
      if (next < CHUNKS) {
        for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
          loaded_q[i] = query_quad(my_query[i] + next * DEPTH);
        }
        for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
          let at = i * WORKGROUP + thread;
          let token = min(first_key + my_column[i], PREFIX - 1u);
          let load = next * CHUNK_LOADS + chunk_place(at, CHUNK_LOADS);
          loaded[i] = keys[(cache + token) * ROW_LOADS + load];
        }
      } else {
        for (var i = 0u; i < VALUE_TURNS; i++) { // @unroll
          let at = min(i * WORKGROUP + thread, KEYS * ROW_LOADS - 1u);
          let token = min(first_key + at / ROW_LOADS, PREFIX - 1u);
          loaded[i] = values[(cache + token) * ROW_LOADS + at % ROW_LOADS];
        }
      }

      // 2. Add the chunk's products to the scores.
      for (var quad = 0u; quad < DEPTH; quad++) { // @unroll
        var key: array<vec4f, MY_COLUMNS>;
        for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
          key[c] = stage[quad * MY_COLUMNS + c][column_thread];
        }
        for (var r = 0u; r < MY_ROWS; r++) { // @unroll
          let query = row_stage[quad * MY_ROWS + r][row_thread];
          for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
            let at = r * MY_COLUMNS + c;
            scores[at] = add_dot(scores[at], query, key[c]);
          }
        }
      }
    }

    // 3. Scale and mask the scores, and update the running maximum of each row.
    let masked = first_key + COLUMNS > PREFIX;
    var m_new = m;
    for (var r = 0u; r < MY_ROWS; r++) { // @unroll
      for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
        scores[r * MY_COLUMNS + c] = capped(scores[r * MY_COLUMNS + c] * SCALE);
      }
      if (masked) {
        for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
          let at = r * MY_COLUMNS + c;
          let seen = first_key + column_thread * MY_COLUMNS + c < PREFIX;
          scores[at] = select(NEG_LARGE, scores[at], seen);
        }
      }
      for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
        m_new[r / 4u][r % 4u] = max(m_new[r / 4u][r % 4u], scores[r * MY_COLUMNS + c]);
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
      row_stage[i * COLUMN_THREADS + column_thread][row_thread] = m_new[i];
    }
    workgroupBarrier();
    for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
      for (var peer = 0u; peer < COLUMN_THREADS; peer++) { // @unroll
        m_new[i] = max(m_new[i], row_stage[i * COLUMN_THREADS + peer][row_thread]);
      }
      let alpha = exp2(m[i] - m_new[i]);
      m[i] = m_new[i];
      l[i] *= alpha;
      for (var j = 0u; j < 4u; j++) { // @unroll
        for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
          acc[(i * 4u + j) * MY_QUADS + quad] *= alpha[j];
        }
      }
    }

    // 4. Compute p in place of the scores.
    for (var r = 0u; r < MY_ROWS; r++) { // @unroll
      for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
        let at = r * MY_COLUMNS + c;
        scores[at] = exp2(scores[at] - m[r / 4u][r % 4u]);
        l[r / 4u][r % 4u] += scores[at];
      }
    }

    for (var chunk = 0u; chunk < VALUE_CHUNKS; chunk++) {
      // 5. Stage a chunk of p and of the values, and request the next values, or the next queries
      // and keys. p of a quad of keys comes from the threads that scored them.
      workgroupBarrier();
      for (var i = 0u; i < MY_COLUMN_QUADS; i++) { // @unroll
        let key_quad = column_thread * MY_COLUMN_QUADS + i;
        if (key_quad / KEY_QUADS == chunk) {
          for (var r = 0u; r < MY_ROWS; r++) { // @unroll
            let at = r * MY_COLUMNS + i * 4u;
            let p = vec4f(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]);
            row_stage[key_quad % KEY_QUADS * MY_ROWS + r][row_thread] = p;
          }
        }
      }
      for (var i = 0u; i < VALUE_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        if (at < KEYS * ROW_LOADS) {
          // A row's slots hold the first quads of all its loads, then the second ones, so that
          // neighbouring threads store to neighbouring banks.
          for (var half = 0u; half < QUADS; half++) { // @unroll
            let slot = at / ROW_LOADS * HEAD_QUADS + half * ROW_LOADS + at % ROW_LOADS;
            stage[slot / COLUMN_THREADS][slot % COLUMN_THREADS] = widen(loaded[i], half);
          }
        }
      }
      workgroupBarrier();
      if (chunk + 1u < VALUE_CHUNKS) {
        for (var i = 0u; i < VALUE_TURNS; i++) { // @unroll
          let at = min(i * WORKGROUP + thread, KEYS * ROW_LOADS - 1u);
          let token = min(first_key + (chunk + 1u) * KEYS + at / ROW_LOADS, PREFIX - 1u);
          loaded[i] = values[(cache + token) * ROW_LOADS + at % ROW_LOADS];
        }
      } else {
        for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
          loaded_q[i] = query_quad(my_query[i]);
        }
        for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
          let at = i * WORKGROUP + thread;
          let token = min(first_key + STRIDE + my_column[i], PREFIX - 1u);
          loaded[i] = keys[(cache + token) * ROW_LOADS + chunk_place(at, CHUNK_LOADS)];
        }
      }

      // 6. Add p times values to acc.
      for (var key_quad = 0u; key_quad < KEY_QUADS; key_quad++) { // @unroll
        var p: array<vec4f, MY_ROWS>;
        for (var r = 0u; r < MY_ROWS; r++) { // @unroll
          p[r] = row_stage[key_quad * MY_ROWS + r][row_thread];
        }
        for (var j = 0u; j < 4u; j++) { // @unroll
          for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
            let value = stage[(key_quad * 4u + j) * MY_QUADS + quad][column_thread];
            for (var r = 0u; r < MY_ROWS; r++) { // @unroll
              let at = r * MY_QUADS + quad;
              acc[at] = fma(vec4f(p[r][j]), value, acc[at]);
            }
          }
        }
      }
    }
  }

  // 7. Sum l over the threads of a row, and store the partial.
  workgroupBarrier();
  for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
    row_stage[i * COLUMN_THREADS + column_thread][row_thread] = l[i];
  }
  workgroupBarrier();
  for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
    var row_l = vec4f();
    for (var peer = 0u; peer < COLUMN_THREADS; peer++) { // @unroll
      row_l += row_stage[i * COLUMN_THREADS + peer][row_thread];
    }
    for (var j = 0u; j < 4u; j++) { // @unroll
      let row = first_row + (i * 4u + j) * ROW_THREADS + row_thread;
      if (row < ALL_ROWS) {
        let partial = head_of(kv_head, row) * (OWN_SPLITS + SPLITS) + OWN_SPLITS + wid.x;
        for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
          let slot = quad * COLUMN_THREADS + column_thread; // as the values were staged
          let at = slot % ROW_LOADS * QUADS + slot / ROW_LOADS;
          partial_out[partial * HEAD_QUADS + at] = acc[(i * 4u + j) * MY_QUADS + quad];
        }
        if (column_thread == 0u) {
          partial_stats[partial] = vec2f(m[i][j], row_l[j]);
        }
      }
    }
  }
}
