// Causal attention of a whole prompt to itself, tile by tile with an online softmax
// (FlashAttention-2, arXiv 2307.08691, section 3.1), the query heads of a group packed.
//
// Dispatch (KV heads * batch, part + 1, tiles of a part): a workgroup owns ROWS rows of the output,
// each a (token, head of the group) in that order, and walks over the keys that its last token may
// see. The highest tiles, which see the most keys, start first. A step may come in several
// dispatches, so that none lasts long: the count of workgroups along y tells which part this is,
// and all of them but the first leave early.
// A thread makes some columns of the scores and of the output of its rows, as outer products in
// registers. Queries and keys come through workgroup memory DEPTH quads at a time, values KEYS rows
// at a time. What a hot loop reads there lies at a constant distance from an address of the thread's
// own, so that no bound needs a check.
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
const KEYS: u32 = 16u; // @param rows of V staged at a time

const QUADS = HEAD_DIM / 4u;
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load of K or V
const KV_QUADS = KV_WIDTH / 4u;
const KV_LOADS = HEAD_DIM / KV_WIDTH; // 16-byte loads of a row
const ROW_THREADS = WORKGROUP / COLUMN_THREADS;
const MY_ROWS = ROWS / ROW_THREADS; // row i of a thread is row i * ROW_THREADS + row_thread
const MY_ROW_QUADS = MY_ROWS / 4u;
const MY_COLUMNS = COLUMNS / COLUMN_THREADS; // adjacent keys
const MY_COLUMN_QUADS = MY_COLUMNS / 4u;
const MY_QUADS = QUADS / COLUMN_THREADS; // vec4f of each of its rows of the output
const MY_SCORES = MY_ROWS * MY_COLUMNS;
const MY_OUTPUTS = MY_ROWS * MY_QUADS;
const CHUNKS = QUADS / DEPTH;
const CHUNK_LOADS = DEPTH / KV_QUADS; // 16-byte loads of a key in a chunk
const VALUE_CHUNKS = COLUMNS / KEYS;
const COMPONENTS = 4u;
const KEY_QUADS = KEYS / 4u;
const QUERY_TURNS = (DEPTH * ROWS + WORKGROUP - 1u) / WORKGROUP; // loads of a thread
const KEY_TURNS = (CHUNK_LOADS * COLUMNS + WORKGROUP - 1u) / WORKGROUP;
const VALUE_TURNS = (KEYS * KV_LOADS + WORKGROUP - 1u) / WORKGROUP;
const STAGE_SLOTS = max(max(DEPTH * MY_COLUMNS, KEYS * MY_QUADS), ROWS / 4u);
const WEIGHT_SLOTS = KEY_QUADS * MY_ROWS;
const SPREAD = min(ROW_THREADS, 8u) - 1u; // mask that spreads key quads over the banks
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
/// Keys, then values; between them and at the end, numbers that the threads of a row exchange.
var<workgroup> stage: array<array<vec4f, COLUMN_THREADS>, STAGE_SLOTS>;
var<workgroup> weights: array<array<array<vec4f, ROW_THREADS>, WEIGHT_SLOTS>, VALUE_CHUNKS>;

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

/// sum + dot(a, b), as four fused multiply-adds.
fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

/// Where row `row` of a KV head lies in prompt_q and prompt_out, in vec4f.
fn row_at(sequence: u32, kv_head: u32, token: u32, row: u32) -> u32 {
  return (((sequence * CAPACITY + token) * KV_HEADS + kv_head) * GROUP + row % GROUP) * QUADS;
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

  var outputs: array<vec4f, MY_OUTPUTS>;
  var denominators: array<vec4f, MY_ROW_QUADS>; // of this thread's columns alone
  var peaks: array<vec4f, MY_ROW_QUADS>;
  for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
    peaks[i] = vec4f(NEG_LARGE);
  }
  for (var first_key = 0u; first_key < end; first_key += COLUMNS) {
    var scores = array<f32, MY_SCORES>(); // a variable without a value is zeroed once, not per turn
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      // Eight threads take the same quad of eight rows: neither loads nor stores collide.
      var query_loads: array<vec4f, QUERY_TURNS>;
      for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        let row = first_row + min(at / (8u * DEPTH) * 8u + at % 8u, ROWS - 1u);
        // Rows past the end repeat the last token: what lies beyond it may be anything.
        let token = min(row / GROUP, length - 1u);
        query_loads[i] = prompt_q[row_at(sequence, kv_head, token, row) + chunk * DEPTH + at / 8u % DEPTH];
      }
      var key_loads: array<vec4<u32>, KEY_TURNS>;
      for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        let slot = min(at / (8u * CHUNK_LOADS) * 8u + at % 8u, COLUMNS - 1u);
        let token = min(first_key + slot % COLUMN_THREADS * MY_COLUMNS + slot / COLUMN_THREADS, length - 1u);
        key_loads[i] = keys[(cache + token) * KV_LOADS + chunk * CHUNK_LOADS + at / 8u % CHUNK_LOADS];
      }
      workgroupBarrier();
      for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        let row = at / (8u * DEPTH) * 8u + at % 8u;
        if (row < ROWS) {
          queries[at / 8u % DEPTH * MY_ROWS + row / ROW_THREADS][row % ROW_THREADS] = query_loads[i];
        }
      }
      for (var i = 0u; i < KEY_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        let slot = at / (8u * CHUNK_LOADS) * 8u + at % 8u;
        if (slot < COLUMNS) {
          for (var half = 0u; half < KV_QUADS; half++) { // @unroll
            let quad = at / 8u % CHUNK_LOADS * KV_QUADS + half;
            stage[quad * MY_COLUMNS + slot / COLUMN_THREADS][slot % COLUMN_THREADS] = widen(key_loads[i], half);
          }
        }
      }
      workgroupBarrier();
      for (var quad = 0u; quad < DEPTH; quad++) { // @unroll
        var key: array<vec4f, MY_COLUMNS>;
        for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
          key[c] = stage[quad * MY_COLUMNS + c][column_thread];
        }
        for (var r = 0u; r < MY_ROWS; r++) { // @unroll
          let query = queries[quad * MY_ROWS + r][row_thread];
          for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
            scores[r * MY_COLUMNS + c] = add_dot(scores[r * MY_COLUMNS + c], query, key[c]);
          }
        }
      }
    }
    // Logits in the log2 domain, and the highest of each row so far.
    var higher = peaks;
    for (var r = 0u; r < MY_ROWS; r++) { // @unroll
      let token = (first_row + r * ROW_THREADS + row_thread) / GROUP;
      for (var c = 0u; c < MY_COLUMNS; c++) { // @unroll
        let logit = scores[r * MY_COLUMNS + c] * (LOG2_E / sqrt(f32(HEAD_DIM)));
        scores[r * MY_COLUMNS + c] = select(NEG_LARGE, logit, first_key + column_thread * MY_COLUMNS + c <= token);
        higher[r / 4u][r % 4u] = max(higher[r / 4u][r % 4u], scores[r * MY_COLUMNS + c]);
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
      stage[i * ROW_THREADS + row_thread][column_thread] = higher[i];
    }
    workgroupBarrier();
    for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
      for (var peer = 0u; peer < COLUMN_THREADS; peer++) { // @unroll
        higher[i] = max(higher[i], stage[i * ROW_THREADS + row_thread][peer]);
      }
      let scale = exp2(peaks[i] - higher[i]);
      peaks[i] = higher[i];
      denominators[i] *= scale;
      for (var j = 0u; j < COMPONENTS; j++) { // @unroll
        for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
          outputs[(i * 4u + j) * MY_QUADS + quad] *= scale[j];
        }
      }
    }
    for (var i = 0u; i < MY_COLUMN_QUADS; i++) { // @unroll
      let key_quad = column_thread * MY_COLUMN_QUADS + i;
      let place = row_thread ^ (key_quad & SPREAD);
      for (var r = 0u; r < MY_ROWS; r++) { // @unroll
        let at = r * MY_COLUMNS + i * 4u;
        let four = vec4f(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]);
        let weight = exp2(four - peaks[r / 4u][r % 4u]);
        denominators[r / 4u][r % 4u] += dot(weight, vec4f(1.0));
        weights[key_quad / KEY_QUADS][key_quad % KEY_QUADS * MY_ROWS + r][place] = weight;
      }
    }

    for (var chunk = 0u; chunk < VALUE_CHUNKS; chunk++) {
      var value_loads: array<vec4<u32>, VALUE_TURNS>;
      for (var i = 0u; i < VALUE_TURNS; i++) { // @unroll
        let at = min(i * WORKGROUP + thread, KEYS * KV_LOADS - 1u);
        // A weight of 0 does not undo a NaN: keys past the end repeat the last one here too.
        let token = min(first_key + chunk * KEYS + at / KV_LOADS, length - 1u);
        value_loads[i] = values[(cache + token) * KV_LOADS + at % KV_LOADS];
      }
      workgroupBarrier();
      for (var i = 0u; i < VALUE_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        if (at < KEYS * KV_LOADS) {
          // First quads of all loads, then second ones: neighbours store to neighbouring banks.
          for (var half = 0u; half < KV_QUADS; half++) { // @unroll
            let slot = at / KV_LOADS * QUADS + half * KV_LOADS + at % KV_LOADS;
            stage[slot / COLUMN_THREADS][slot % COLUMN_THREADS] = widen(value_loads[i], half);
          }
        }
      }
      workgroupBarrier();
      for (var key_quad = 0u; key_quad < KEY_QUADS; key_quad++) { // @unroll
        let place = row_thread ^ ((chunk * KEY_QUADS + key_quad) & SPREAD);
        var weight: array<vec4f, MY_ROWS>;
        for (var r = 0u; r < MY_ROWS; r++) { // @unroll
          weight[r] = weights[chunk][key_quad * MY_ROWS + r][place];
        }
        for (var j = 0u; j < COMPONENTS; j++) { // @unroll
          for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
            let value = stage[(key_quad * 4u + j) * MY_QUADS + quad][column_thread];
            for (var r = 0u; r < MY_ROWS; r++) { // @unroll
              outputs[r * MY_QUADS + quad] = fma(vec4f(weight[r][j]), value, outputs[r * MY_QUADS + quad]);
            }
          }
        }
      }
    }
  }

  workgroupBarrier();
  for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
    stage[i * ROW_THREADS + row_thread][column_thread] = denominators[i];
  }
  workgroupBarrier();
  for (var i = 0u; i < MY_ROW_QUADS; i++) { // @unroll
    var total = vec4f();
    for (var peer = 0u; peer < COLUMN_THREADS; peer++) { // @unroll
      total += stage[i * ROW_THREADS + row_thread][peer];
    }
    for (var j = 0u; j < COMPONENTS; j++) { // @unroll
      let row = first_row + (i * 4u + j) * ROW_THREADS + row_thread;
      let head = kv_head * GROUP + row % GROUP;
      let sink = sink_logits[head / 4u][head % 4u] * LOG2_E;
      let peak = max(peaks[i][j], sink);
      let scale = exp2(peaks[i][j] - peak);
      let factor = scale / (total[j] * scale + exp2(sink - peak));
      if (row / GROUP < length) {
        for (var quad = 0u; quad < MY_QUADS; quad++) { // @unroll
          let slot = quad * COLUMN_THREADS + column_thread; // as the values were staged
          let at = slot % KV_LOADS * KV_QUADS + slot / KV_LOADS;
          prompt_out[row_at(sequence, kv_head, row / GROUP, row) + at] = outputs[(i * 4u + j) * MY_QUADS + quad] * factor;
        }
      }
    }
  }
}
