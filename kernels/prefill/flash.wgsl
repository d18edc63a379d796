// flash.wgsl: causal attention of a whole prompt to itself, tile by tile.
// FlashAttention-2 (arXiv 2307.08691, section 3.1) with the query heads of a KV head packed.
//
// The maximum of a row in the first tile of keys serves all tiles, since f32 has room for p up to
// 2^SLACK. So tiles neither pass maxima around nor rescale. A workgroup whose rows need more room
// starts again, and follows the maximum.
//
// Dispatch (KV heads * batch, part + 1, tiles of a part). A workgroup owns a tile of ROWS rows of
// the output. A row is one query head of one token, and the heads of a token are adjacent rows. The
// workgroup walks over the keys that its last token may see. The last tiles see the most keys, so
// they start first. A step may take several dispatches, so that none of them lasts long: the number
// of workgroups along y names the part, and those with y > 0 return at once.
//
// A thread computes MY_ROWS x MY_COLUMNS scores, then MY_ROWS x MY_QUADS vec4f of the output, as
// outer products in registers. Queries and keys pass through workgroup memory DEPTH quads at a
// time, values KEYS rows at a time. Each chunk is requested while the one before it is computed.
// The more keys a tile has, the more products each load from workgroup memory serves, but p of all
// of them may not fit there: PART keys take turns. In the hot loops the last index of a workgroup
// array is the thread's own, the others are constants, and compilers leave out bounds checks.
//
// 1. Stage a chunk of the queries and keys, and request the next one.
// 2. Add its products to the scores. Repeat 1 and 2 for all chunks of the head dimension.
// 3. Mask the scores. In the first tile, make the maximum of each row its m.
// 4. Compute p = exp2(logit - m) of a part of the keys.
// 5. Stage a chunk of the values, and request the next one.
// 6. Add p times values to acc. Repeat 5 and 6 for all chunks, 4 to 6 for all parts, and 1 to 6 for
//    all tiles of keys.
// 7. If some logit exceeds m by more than SLACK, repeat 1 to 6 with a running maximum.
// 8. Sum l over the threads of a row, divide and store.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const ROWS: u32 = 64u; // @param rows of the output of a workgroup
const COLUMNS: u32 = 64u; // @param keys of a tile
const COLUMN_THREADS: u32 = 16u; // @param threads that share a row
const DEPTH: u32 = 8u; // @param vec4f of a query or key staged at a time
const PART: u32 = 64u; // @param keys of a tile whose p are staged at a time
const KEYS: u32 = 16u; // @param rows of V staged at a time

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const HEAD_QUADS = HEAD_DIM / 4u;
const ROW_THREADS = WORKGROUP / COLUMN_THREADS;
const MY_ROWS = ROWS / ROW_THREADS; // row i of a thread is row i * ROW_THREADS + row_thread
const MY_ROW_QUADS = MY_ROWS / 4u;
const MY_COLUMNS = COLUMNS / COLUMN_THREADS; // key i is key i * COLUMN_THREADS + column_thread
const MY_PART = PART / COLUMN_THREADS; // keys of a part per thread
const PARTS = COLUMNS / PART;
const MY_QUADS = HEAD_QUADS / COLUMN_THREADS; // vec4f of a row of the output per thread
const MY_SCORES = MY_ROWS * MY_COLUMNS;
const MY_OUTPUTS = MY_ROWS * MY_QUADS;
const CHUNKS = HEAD_QUADS / DEPTH; // chunks of the head dimension
const CHUNK_LOADS = DEPTH / QUADS; // loads of a key in a chunk
const PART_CHUNKS = PART / KEYS; // chunks of the values of a part
const QUERY_TURNS = (DEPTH * ROWS + WORKGROUP - 1u) / WORKGROUP; // loads of a thread
const KEY_TURNS = (CHUNK_LOADS * COLUMNS + WORKGROUP - 1u) / WORKGROUP;
const VALUE_TURNS = (KEYS * ROW_LOADS + WORKGROUP - 1u) / WORKGROUP;
const STAGE_SLOTS = max(max(DEPTH * MY_COLUMNS, KEYS * MY_QUADS), ROW_THREADS);
const P_SLOTS = KEYS * MY_ROW_QUADS; // a slot holds p of four rows of a thread
const BANK_MASK = min(ROW_THREADS, 8u) - 1u; // spreads the keys of p over the banks
const SCALE = LOG2_E / sqrt(f32(HEAD_DIM)); // from a score to a logit
// p reaches 2^80. So sums over 2^20 keys overflow only if values reach 2^27, which no f16 does.
const SLACK = 80.0;
const TILES = (CAPACITY * GROUP + ROWS - 1u) / ROWS;
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> prompt_q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> sink_logits: array<vec4f, (KV_HEADS * GROUP + 3u) / 4u>;
@group(0) @binding(5) var<storage, read_write> prompt_out: array<vec4f>;

var<workgroup> queries: array<array<vec4f, ROW_THREADS>, DEPTH * MY_ROWS>;
/// Keys, then values.
var<workgroup> stage: array<array<vec4f, COLUMN_THREADS>, STAGE_SLOTS>;
/// p of a part. In steps 3 and 8, m and l of the threads that share a row.
var<workgroup> probabilities: array<array<array<vec4f, ROW_THREADS>, P_SLOTS>, PART_CHUNKS>;

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

/// Where a row begins in prompt_q and prompt_out, in vec4f.
fn row_at(sequence: u32, kv_head: u32, token: u32, row: u32) -> u32 {
  return (((sequence * CAPACITY + token) * KV_HEADS + kv_head) * GROUP + row % GROUP) * HEAD_QUADS;
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
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let rank = (grid.y - 1u) * grid.z + wid.z;
  if (wid.y > 0u || rank >= TILES) {
    return;
  }
  let kv_head = wid.x % KV_HEADS;
  let sequence = wid.x / KV_HEADS;
  let length = lengths[sequence];
  let first_row = (TILES - 1u - rank) * ROWS;
  if (first_row / GROUP >= length) {
    return;
  }
  let cache = (sequence * KV_HEADS + kv_head) * CAPACITY;
  let end = min((first_row + ROWS - 1u) / GROUP + 1u, length); // of the keys that any row sees
  let column_thread = thread % COLUMN_THREADS;
  let row_thread = thread / COLUMN_THREADS;

  var acc: array<vec4f, MY_OUTPUTS>;
  var l: array<vec4f, MY_ROW_QUADS>; // of this thread's columns alone
  var m: array<vec4f, MY_ROW_QUADS>;
  for (var attempt = 0u; attempt < 2u; attempt++) {
    acc = array<vec4f, MY_OUTPUTS>();
    l = array<vec4f, MY_ROW_QUADS>();
    for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
      m[i] = vec4f(NEG_LARGE);
    }
    var exceeds = false; // whether a logit of this thread exceeds m by more than SLACK
    // Rows and keys past the end repeat the last token, since memory past it may hold anything.
    var loaded_q: array<vec4f, QUERY_TURNS>;
    var loaded_k: array<vec4<u32>, KEY_TURNS>;
    var loaded_v: array<vec4<u32>, VALUE_TURNS>;
    var my_query: array<u32, QUERY_TURNS>; // the first load of each turn
    for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
      let at = i * WORKGROUP + thread;
      let row = first_row + min(chunk_row(at, DEPTH), ROWS - 1u);
      let token = min(row / GROUP, length - 1u);
      my_query[i] = row_at(sequence, kv_head, token, row) + chunk_place(at, DEPTH);
      loaded_q[i] = prompt_q[my_query[i]];
    }
    var my_column: array<u32, KEY_TURNS>; // the key of each turn
    for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
      let at = i * WORKGROUP + thread;
      my_column[i] = min(chunk_row(at, CHUNK_LOADS), COLUMNS - 1u);
      let token = min(my_column[i], length - 1u);
      loaded_k[i] = keys[(cache + token) * ROW_LOADS + chunk_place(at, CHUNK_LOADS)];
    }
    for (var first_key = 0u; first_key < end; first_key += COLUMNS) {
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
            let place = quad * MY_ROWS + row / ROW_THREADS;
            queries[place][row % ROW_THREADS] = loaded_q[i];
          }
        }
        for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
          let at = i * WORKGROUP + thread;
          let slot = chunk_row(at, CHUNK_LOADS);
          let load = chunk_place(at, CHUNK_LOADS);
          if (slot < COLUMNS) {
            let c = slot / COLUMN_THREADS;
            for (var half = 0u; half < QUADS; half++) { // @unroll
              let quad = load * QUADS + half;
              stage[quad * MY_COLUMNS + c][slot % COLUMN_THREADS] = widen(loaded_k[i], half);
            }
          }
        }
        workgroupBarrier();
        let next = chunk + 1u;
        if (next < CHUNKS) {
          for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
            loaded_q[i] = prompt_q[my_query[i] + next * DEPTH];
          }
          for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
            let at = i * WORKGROUP + thread;
            let token = min(first_key + my_column[i], length - 1u);
            let load = next * CHUNK_LOADS + chunk_place(at, CHUNK_LOADS);
            loaded_k[i] = keys[(cache + token) * ROW_LOADS + load];
          }
        } else {
          for (var i = 0u; i < VALUE_TURNS; i++) { // @unroll
            let at = min(i * WORKGROUP + thread, KEYS * ROW_LOADS - 1u);
            let token = min(first_key + at / ROW_LOADS, length - 1u);
            loaded_v[i] = values[(cache + token) * ROW_LOADS + at % ROW_LOADS];
          }
        }

        // 2. Add the chunk's products to the scores.
        for (var quad = 0u; quad < DEPTH; quad++) { // @unroll
          var key: array<vec4f, MY_COLUMNS>;
          for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
            key[c] = stage[quad * MY_COLUMNS + c][column_thread];
          }
          for (var r = 0u; r < MY_ROWS; r++) { // @unroll
            let query = queries[quad * MY_ROWS + r][row_thread];
            for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
              let at = r * MY_COLUMNS + c;
              scores[at] = add_dot(scores[at], query, key[c]);
            }
          }
        }
      }

      // 3. Mask the scores. In the first tile, find the maximum of each row.
      if (first_key + COLUMNS > first_row / GROUP + 1u) { // some row does not see all of these keys
        for (var r = 0u; r < MY_ROWS; r++) { // @unroll
          let token = (first_row + r * ROW_THREADS + row_thread) / GROUP;
          for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
            let at = r * MY_COLUMNS + c;
            let seen = first_key + c * COLUMN_THREADS + column_thread <= token;
            scores[at] = select(NEG_LARGE, scores[at], seen);
          }
        }
      }
      var tops: array<vec4f, MY_ROW_QUADS>; // of this thread's scores
      for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
        tops[i] = vec4f(NEG_LARGE);
      }
      for (var r = 0u; r < MY_ROWS; r++) { // @unroll
        for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
          tops[r / 4u][r % 4u] = max(tops[r / 4u][r % 4u], scores[r * MY_COLUMNS + c]);
        }
      }
      if (first_key > 0u && attempt == 0u) {
        for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
          exceeds = exceeds || any(tops[i] * SCALE > m[i] + SLACK);
        }
      } else {
        for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
          let place = (row_thread + column_thread) % ROW_THREADS; // against conflicts of banks
          let slot = i * COLUMN_THREADS + column_thread;
          probabilities[slot / P_SLOTS][slot % P_SLOTS][place] = tops[i] * SCALE;
        }
        workgroupBarrier();
        for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
          var m_new = m[i];
          for (var peer = 0u; peer < COLUMN_THREADS; peer++) { // @unroll
            let place = (row_thread + peer) % ROW_THREADS;
            let slot = i * COLUMN_THREADS + peer;
            m_new = max(m_new, probabilities[slot / P_SLOTS][slot % P_SLOTS][place]);
          }
          let alpha = exp2(m[i] - m_new);
          m[i] = m_new;
          l[i] *= alpha;
          for (var j = 0u; j < 4u; j++) { // @unroll
            for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
              acc[(i * 4u + j) * MY_QUADS + quad] *= alpha[j];
            }
          }
        }
        workgroupBarrier();
      }

      for (var part = 0u; part < PARTS; part++) {
        // 4. Compute p of a part and leave it for the threads of the row.
        if (part > 0u) {
          workgroupBarrier();
        }
        for (var i = 0u; i < MY_PART; i++) { // @unroll
          let key = i * COLUMN_THREADS + column_thread;
          let place = row_thread ^ (key & BANK_MASK);
          for (var j = 0u; j < MY_ROW_QUADS; j++) { // @unroll
            var p: vec4f;
            for (var r = 0u; r < 4u; r++) { // @unroll
              let first = (j * 4u + r) * MY_COLUMNS + i;
              p[r] = scores[first];
              for (var other = 0u; other < PARTS; other++) { // @unroll
                p[r] = select(p[r], scores[first + other * MY_PART], other == part);
              }
            }
            p = exp2(fma(p, vec4f(SCALE), -m[j]));
            l[j] += p;
            probabilities[key / KEYS][key % KEYS * MY_ROW_QUADS + j][place] = p;
          }
        }

        for (var chunk = 0u; chunk < PART_CHUNKS; chunk++) {
          // 5. Stage a chunk of the values, and request the next one, or the next queries and keys.
          // Keys past the end repeat the last one here too: p = 0 does not remove a NaN.
          workgroupBarrier();
          for (var i = 0u; i < VALUE_TURNS; i++) { // @unroll
            let at = i * WORKGROUP + thread;
            if (at < KEYS * ROW_LOADS) {
              // A row's slots hold the first quads of all its loads, then the second ones, so that
              // neighbouring threads store to neighbouring banks.
              for (var half = 0u; half < QUADS; half++) { // @unroll
                let slot = at / ROW_LOADS * HEAD_QUADS + half * ROW_LOADS + at % ROW_LOADS;
                stage[slot / COLUMN_THREADS][slot % COLUMN_THREADS] = widen(loaded_v[i], half);
              }
            }
          }
          workgroupBarrier();
          let next = part * PART_CHUNKS + chunk + 1u;
          if (next < PARTS * PART_CHUNKS) {
            for (var i = 0u; i < VALUE_TURNS; i++) { // @unroll
              let at = min(i * WORKGROUP + thread, KEYS * ROW_LOADS - 1u);
              let token = min(first_key + next * KEYS + at / ROW_LOADS, length - 1u);
              loaded_v[i] = values[(cache + token) * ROW_LOADS + at % ROW_LOADS];
            }
          } else {
            for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
              loaded_q[i] = prompt_q[my_query[i]];
            }
            for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
              let at = i * WORKGROUP + thread;
              let token = min(first_key + COLUMNS + my_column[i], length - 1u);
              loaded_k[i] = keys[(cache + token) * ROW_LOADS + chunk_place(at, CHUNK_LOADS)];
            }
          }

          // 6. Add p times values to acc.
          for (var key = 0u; key < KEYS; key++) { // @unroll
            let place = row_thread ^ ((chunk * KEYS + key) & BANK_MASK);
            var p: array<vec4f, MY_ROW_QUADS>;
            for (var j = 0u; j < MY_ROW_QUADS; j++) { // @unroll
              p[j] = probabilities[chunk][key * MY_ROW_QUADS + j][place];
            }
            for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
              let value = stage[key * MY_QUADS + quad][column_thread];
              for (var r = 0u; r < MY_ROWS; r++) { // @unroll
                let at = r * MY_QUADS + quad;
                acc[at] = fma(vec4f(p[r / 4u][r % 4u]), value, acc[at]);
              }
            }
          }
        }
      }
    }

    // 7. Repeat all if some thread has seen a logit that exceeds m by more than SLACK.
    workgroupBarrier();
    stage[row_thread][column_thread].x = f32(exceeds);
    workgroupBarrier();
    if (thread == 0u) {
      var votes = 0.0;
      for (var i = 0u; i < WORKGROUP; i++) {
        votes += stage[i / COLUMN_THREADS][i % COLUMN_THREADS].x;
      }
      stage[0][0].x = votes;
    }
    if (workgroupUniformLoad(&stage[0][0]).x == 0.0) {
      break;
    }
  }

  // 8. Sum l over the threads of a row, divide and store. The sink logit adds to l alone.
  workgroupBarrier();
  for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
    let slot = i * COLUMN_THREADS + column_thread;
    probabilities[slot / P_SLOTS][slot % P_SLOTS][row_thread] = l[i];
  }
  workgroupBarrier();
  for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
    var row_l = vec4f();
    for (var peer = 0u; peer < COLUMN_THREADS; peer++) { // @unroll
      let slot = i * COLUMN_THREADS + peer;
      row_l += probabilities[slot / P_SLOTS][slot % P_SLOTS][row_thread];
    }
    for (var j = 0u; j < 4u; j++) { // @unroll
      let row = first_row + (i * 4u + j) * ROW_THREADS + row_thread;
      let head = kv_head * GROUP + row % GROUP;
      let sink = sink_logits[head / 4u][head % 4u] * LOG2_E;
      let m_new = max(m[i][j], sink);
      let alpha = exp2(m[i][j] - m_new);
      let factor = alpha / (row_l[j] * alpha + exp2(sink - m_new));
      if (row / GROUP < length) {
        let first = row_at(sequence, kv_head, row / GROUP, row);
        for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
          let slot = quad * COLUMN_THREADS + column_thread; // as the values were staged
          let at = slot % ROW_LOADS * QUADS + slot / ROW_LOADS;
          prompt_out[first + at] = acc[(i * 4u + j) * MY_QUADS + quad] * factor;
        }
      }
    }
  }
}
