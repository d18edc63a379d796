// flash_matrix.wgsl: causal attention of a whole prompt to itself on matrix units, in f16 with f32
// sums. FlashAttention-2 (arXiv 2307.08691, section 3.1) with the query heads of a KV head packed,
// and a running maximum that lags behind, so that the output is hardly ever rescaled.
//
// Needs subgroups of 32 consecutive threads and matrices of 16 x 16 x 16, f16 with f32 sums. Keys
// and values are f16.
//
// Dispatch (KV heads * batch, part + 1, tiles of a part), as of flash.wgsl. A workgroup owns a tile
// of ROWS rows of the output, a row being one query head of one token. It walks over the keys that
// its last token may see, KEYS at a time.
//
// A subgroup computes QK_ROWS rows of the logits and PV_ROWS rows of the output. If these are fewer
// than ROWS, several subgroups share the rows: they divide the keys of the tile, and the dimensions
// of the output. No thread can know which elements of a matrix it holds, so logits pass through
// workgroup memory: matrices store them as f32, the threads of a row turn them into p, and matrices
// load p as f16. The keys of the next tile are in registers meanwhile, so that 2 and 3 are one
// stretch of matrix products, and a tile takes three barriers.
//
// 1. Round the queries to f16, and keep them in matrices.
// 2. Add p times values of the tile before to acc.
// 3. Multiply queries and keys, and store the logits.
// 4. Stage the values of this tile and the keys of the next one, and request those that follow.
// 5. Mask the logits, find the maximum of each row, and take it as m if it exceeds m by more than
//    SLACK (of log2). Compute p = exp2(logit - m), at most 2 ^ SLACK, and add it to l. Repeat 2 to
//    5 until some m changes, or p of the last tile is added too.
// 6. If some m changed, rescale acc through workgroup memory, and go on with 2. This stands outside
//    the loop of 2 to 5, so that compilers are free to order the loads and products there.
// 7. Divide by l and store.
//
// Error. Products of f16 are exact in f32. Against exact attention of the rounded queries a weight
// p is off by at most 2^-11 of itself, half a unit in the last place of f16, or by 2^-25 below
// 2^-14; the largest p of a row is at least 1. The sum l has p before rounding. So an output is off
// by at most (2^-11 + 2^-25 n) sum(w |v|), w being the weights and n the tokens, beside f32 sums.
// The roundings of different tokens are independent and at most uniform: where values are of
// random signs, both the output and its error are sums of random signs, and the ratio of their
// norms is about 2^-11 / sqrt(3) = 2.8e-4. Verification allows 2e-3.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const SUBGROUPS: u32 = 8u; // @param of a workgroup
const ROWS: u32 = 128u; // @param rows of the output of a workgroup
const KEYS: u32 = 32u; // @param keys of a tile
const QK_ROWS: u32 = 32u; // @param rows of the logits of a subgroup
const PV_ROWS: u32 = 32u; // @param rows of the output of a subgroup

const LANES = 32u; // threads of a subgroup
const WORKGROUP = SUBGROUPS * LANES;
const SIDE = 16u; // rows and columns of a matrix
const ROW_LOADS = HEAD_DIM / 8u; // 16-byte loads of a row of f16
const HEAD_QUADS = HEAD_DIM / 4u;
const STEPS = HEAD_DIM / SIDE; // matrices along a row
const PART_LOADS = KEYS / 4u; // loads of a query in place of its logits
const PARTS = (ROW_LOADS + PART_LOADS - 1u) / PART_LOADS;
const PART_STEPS = PART_LOADS / 2u;
const QUERY_STEPS = PARTS * PART_STEPS; // STEPS or more

const QK_ROW_BLOCKS = ROWS / QK_ROWS;
const QK_KEYS = KEYS * QK_ROW_BLOCKS / SUBGROUPS; // keys of the logits of a subgroup
const QK_HEIGHT = QK_ROWS / SIDE; // in matrices
const QK_WIDTH = QK_KEYS / SIDE;
const QK_MATRICES = QK_HEIGHT * QK_WIDTH;
const PV_ROW_BLOCKS = ROWS / PV_ROWS;
const PV_DIMS = HEAD_DIM * PV_ROW_BLOCKS / SUBGROUPS; // dimensions of the output of a subgroup
const PV_HEIGHT = PV_ROWS / SIDE;
const PV_WIDTH = PV_DIMS / SIDE;
const PV_MATRICES = PV_HEIGHT * PV_WIDTH;

const ROW_THREADS = WORKGROUP / ROWS; // threads that share a row of logits
const ROW_BITS = firstTrailingBit(ROW_THREADS);
const MY_QUADS = KEYS / 4u / ROW_THREADS; // vec4f of logits of a thread: each ROW_THREADS-th one
const MY_PAIRS = MY_QUADS / 2u; // of them, whose p fill a slot
const QUERY_TURNS = ROWS * PART_LOADS / WORKGROUP; // loads of a thread
const LOAD_TURNS = KEYS * ROW_LOADS / WORKGROUP;

// Slots of 16 bytes. A block has 16 rows. Rows have slots to spare, so that the banks of workgroup
// memory do not collide: one more slot where matrices load rows, two more where they store sums.
// Offsets in a block are constants, so that compilers leave out bounds checks.
const KEY_SLOTS = ROW_LOADS + 1u; // of a row of keys
const KEY_BLOCK_SLOTS = SIDE * KEY_SLOTS - 1u; // the last row needs no spare slot
const KEY_BLOCKS = KEYS / SIDE;
const VALUE_SLOTS = PV_DIMS / 8u + 1u; // of a row of values, of the dimensions of a subgroup
const VALUE_BLOCKS = SUBGROUPS / PV_ROW_BLOCKS * KEY_BLOCKS;
const LOGIT_SLOTS = KEYS / 4u + 2u; // of a row of logits
const P_SLOTS = KEYS / 8u + 1u; // of a row of p
const P_AT = SIDE * LOGIT_SLOTS; // p of a block follows its logits
const ROW_BLOCK_SLOTS = P_AT + SIDE * P_SLOTS;
const ROW_BLOCKS = ROWS / SIDE;
const SCRATCH_SLOTS = 64u; // one matrix of f32
const TILES = (CAPACITY * GROUP + ROWS - 1u) / ROWS;
const SCALE = LOG2_E / sqrt(f32(HEAD_DIM));
const SLACK = 8.0; // p reaches 256: far from the largest f16
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> prompt_q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> sink_logits: array<vec4f, (KV_HEADS * GROUP + 3u) / 4u>;
@group(0) @binding(5) var<storage, read_write> prompt_out: array<vec4f>;

var<workgroup> key_blocks: array<array<vec4<u32>, KEY_BLOCK_SLOTS>, KEY_BLOCKS>;
var<workgroup> value_blocks: array<array<vec4<u32>, SIDE * VALUE_SLOTS>, VALUE_BLOCKS>;
/// Logits and p. First the queries, and acc where it is rescaled.
var<workgroup> row_blocks: array<array<vec4<u32>, ROW_BLOCK_SLOTS>, ROW_BLOCKS>;
/// Whether some row's m changed since acc was rescaled.
var<workgroup> changed: atomic<u32>;

/// Where a row begins in prompt_q and prompt_out, in vec4f.
fn row_at(sequence: u32, kv_head: u32, token: u32, row: u32) -> u32 {
  return (((sequence * CAPACITY + token) * KV_HEADS + kv_head) * GROUP + row % GROUP) * HEAD_QUADS;
}

/// Eight values as f16.
fn narrow(low: vec4f, high: vec4f) -> vec4<u32> {
  return vec4<u32>(
    pack2x16float(low.xy),
    pack2x16float(low.zw),
    pack2x16float(high.xy),
    pack2x16float(high.zw),
  );
}

/// Keeps what a row of acc is multiplied by when it is rescaled, in the spare slot of its row of p.
fn store_factor(row: u32, factor: f32) {
  row_blocks[row / SIDE][P_AT + row % SIDE * P_SLOTS + KEYS / 8u].x = bitcast<u32>(factor);
}

/// What a row of acc is multiplied by.
fn factor_of(row: u32) -> f32 {
  return bitcast<f32>(row_blocks[row / SIDE][P_AT + row % SIDE * P_SLOTS + KEYS / 8u].x);
}

/// Stores load `at` of a tile of keys.
fn stage_key(at: u32, load: vec4<u32>) {
  let key = at / ROW_LOADS;
  key_blocks[key / SIDE][key % SIDE * KEY_SLOTS + at % ROW_LOADS] = load;
}

/// Stores load `at` of a tile of values. Keys are in the order in which threads store their p.
fn stage_value(at: u32, load: vec4<u32>) {
  let quad = at / ROW_LOADS / 4u;
  let key = (quad % ROW_THREADS * MY_QUADS + quad / ROW_THREADS) * 4u + at / ROW_LOADS % 4u;
  let dim = at % ROW_LOADS * 8u;
  let slot = key % SIDE * VALUE_SLOTS + dim % PV_DIMS / 8u;
  value_blocks[dim / PV_DIMS * KEY_BLOCKS + key / SIDE][slot] = load;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup_number: u32,
) {
  // The number is below SUBGROUPS anyway, but no compiler knows that. The remainder tells it that
  // loads of matrices stay in bounds, and it puts no branch around each of them.
  let subgroup = subgroup_number % SUBGROUPS;
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
  let qk_row = subgroup % QK_ROW_BLOCKS * QK_ROWS;
  let qk_key = subgroup / QK_ROW_BLOCKS * QK_KEYS;
  let pv_row = subgroup % PV_ROW_BLOCKS * PV_ROWS;

  // 1. Round the queries to f16. Rows past the end repeat the last token.
  var queries: array<Left, QK_HEIGHT * QUERY_STEPS>;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
      let at = i * WORKGROUP + thread;
      let own = at / PART_LOADS;
      let row = first_row + own;
      let token = min(row / GROUP, length - 1u);
      let load = min(part * PART_LOADS + at % PART_LOADS, ROW_LOADS - 1u);
      let first = row_at(sequence, kv_head, token, row) + load * 2u;
      let slot = own % SIDE * LOGIT_SLOTS + at % PART_LOADS;
      row_blocks[own / SIDE][slot] = narrow(prompt_q[first], prompt_q[first + 1u]);
    }
    workgroupBarrier();
    for (var r = 0u; r < QK_HEIGHT; r++) { // @unroll
      for (var step = 0u; step < PART_STEPS; step++) { // @unroll
        let block = qk_row / SIDE + r;
        queries[r * QUERY_STEPS + part * PART_STEPS + step] = subgroupMatrixLoad<Left, row_major>(
          &row_blocks[block],
          step * 2u,
          LOGIT_SLOTS,
        );
      }
    }
    workgroupBarrier();
  }

  // Of the row whose logits this thread turns into p.
  let my_row = thread / ROW_THREADS;
  let my_part = thread % ROW_THREADS;
  let my_seen = (first_row + my_row) / GROUP + 1u; // keys that the row sees
  let my_block = my_row / SIDE;
  let my_logits = my_row % SIDE * LOGIT_SLOTS + my_part;
  let my_p = P_AT + my_row % SIDE * P_SLOTS + my_part * MY_QUADS / 2u;
  var m = NEG_LARGE;
  var l = 0.0; // of this thread's keys alone

  if (my_part == 0u) {
    store_factor(my_row, 1.0);
  }

  var acc: array<Sums, PV_MATRICES>;
  let first_load = cache * ROW_LOADS; // of the first key
  let last_load = (cache + length - 1u) * ROW_LOADS; // of the last key
  // Keys past the end repeat the last one, since memory past it may hold anything, and p = 0 does
  // not remove a NaN.
  var loaded_k: array<vec4<u32>, LOAD_TURNS>;
  var loaded_v: array<vec4<u32>, LOAD_TURNS>;
  for (var i = 0u; i < LOAD_TURNS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    loaded_k[i] = keys[min(first_load + at, last_load + at % ROW_LOADS)];
    loaded_v[i] = values[min(first_load + at, last_load + at % ROW_LOADS)];
  }
  for (var i = 0u; i < LOAD_TURNS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    stage_key(at, loaded_k[i]);
    loaded_k[i] = keys[min(first_load + KEYS * ROW_LOADS + at, last_load + at % ROW_LOADS)];
  }
  workgroupBarrier();
  var first_key = 0u;
  var is_changed = 0u;
  while (first_key < end + KEYS) {
    while (first_key < end + KEYS) {
      // 2. Add p times values of the tile before to acc. For the first tile p is 0 still, as
      // workgroup memory is at the start. A tile past the end adds those of the last one.
      for (var step = 0u; step < KEYS / SIDE; step++) { // @unroll
        var p: array<Left, PV_HEIGHT>;
        for (var r = 0u; r < PV_HEIGHT; r++) { // @unroll
          let block = pv_row / SIDE + r;
          let slot = P_AT + step * 2u;
          p[r] = subgroupMatrixLoad<Left, row_major>(&row_blocks[block], slot, P_SLOTS);
        }
        for (var c = 0u; c < PV_WIDTH; c++) { // @unroll
          let block = subgroup / PV_ROW_BLOCKS * KEY_BLOCKS + step;
          let value = subgroupMatrixLoad<Right, row_major>(
            &value_blocks[block],
            c * 2u,
            VALUE_SLOTS,
          );
          for (var r = 0u; r < PV_HEIGHT; r++) { // @unroll
            let at = r * PV_WIDTH + c;
            acc[at] = subgroupMatrixMultiplyAccumulate(p[r], value, acc[at]);
          }
        }
      }

      // 3. Multiply queries and keys, and store the logits.
      var logits = array<Sums, QK_MATRICES>();
      for (var step = 0u; step < STEPS; step++) { // @unroll
        for (var c = 0u; c < QK_WIDTH; c++) { // @unroll
          let block = qk_key / SIDE + c;
          let key = subgroupMatrixLoad<Right, col_major>(&key_blocks[block], step * 2u, KEY_SLOTS);
          for (var r = 0u; r < QK_HEIGHT; r++) { // @unroll
            let at = r * QK_WIDTH + c;
            let query = queries[r * QUERY_STEPS + step];
            logits[at] = subgroupMatrixMultiplyAccumulate(query, key, logits[at]);
          }
        }
      }
      for (var r = 0u; r < QK_HEIGHT; r++) { // @unroll
        for (var c = 0u; c < QK_WIDTH; c++) { // @unroll
          let block = qk_row / SIDE + r;
          let slot = qk_key / 4u + c * 4u;
          let sums = logits[r * QK_WIDTH + c];
          subgroupMatrixStore<row_major>(&row_blocks[block], slot, sums, LOGIT_SLOTS);
        }
      }
      workgroupBarrier();

      // 4. Stage the values of this tile and the next keys, and request those that follow.
      for (var i = 0u; i < LOAD_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        stage_key(at, loaded_k[i]);
        stage_value(at, loaded_v[i]);
      }
      for (var i = 0u; i < LOAD_TURNS; i++) { // @unroll
        let at = i * WORKGROUP + thread;
        let next = first_load + (first_key + KEYS) * ROW_LOADS + at;
        loaded_v[i] = values[min(next, last_load + at % ROW_LOADS)];
        loaded_k[i] = keys[min(next + KEYS * ROW_LOADS, last_load + at % ROW_LOADS)];
      }

      // 5. Turn logits into p. All threads wait at the end, so that p and factors are there.
      var mine: array<vec4f, MY_QUADS>;
      for (var i = 0u; i < MY_QUADS; i++) { // @unroll
        mine[i] = bitcast<vec4f>(row_blocks[my_block][my_logits + i * ROW_THREADS]);
      }
      if (first_key + KEYS > first_row / GROUP + 1u) { // some row does not see all of these keys
        for (var i = 0u; i < MY_QUADS; i++) { // @unroll
          let key = first_key + (my_part + i * ROW_THREADS) * 4u + vec4<u32>(0u, 1u, 2u, 3u);
          mine[i] = select(vec4f(NEG_LARGE), mine[i], key < vec4<u32>(my_seen));
        }
      }
      var tops = vec4f(NEG_LARGE);
      for (var i = 0u; i < MY_QUADS; i++) { // @unroll
        tops = max(tops, mine[i]);
      }
      var top = max(max(tops.x, tops.y), max(tops.z, tops.w));
      for (var bit = 0u; bit < ROW_BITS; bit++) { // @unroll
        top = max(top, subgroupShuffleXor(top, 1u << bit));
      }
      let logit = top * SCALE;
      if (logit > m + SLACK) {
        let alpha = exp2(m - logit);
        m = logit;
        l *= alpha;
        if (first_key > 0u) { // acc is 0 in the first tile
          atomicStore(&changed, 1u);
          if (my_part == 0u) {
            store_factor(my_row, alpha);
          }
        }
      }
      var sums = vec4f();
      for (var i = 0u; i < MY_QUADS; i++) { // @unroll
        mine[i] = exp2(fma(mine[i], vec4f(SCALE), vec4f(-m)));
        sums += mine[i];
      }
      l += dot(sums, vec4f(1.0));
      for (var pair = 0u; pair < MY_PAIRS; pair++) { // @unroll
        row_blocks[my_block][my_p + pair] = narrow(mine[pair * 2u], mine[pair * 2u + 1u]);
      }

      first_key += KEYS;
      is_changed = workgroupUniformLoad(&changed);
      if (is_changed != 0u) {
        break;
      }
    }

    // 6. Rescale acc.
    if (is_changed != 0u) {
      for (var r = 0u; r < PV_HEIGHT; r++) { // @unroll
        for (var c = 0u; c < PV_WIDTH; c++) { // @unroll
          let scratch = subgroup / ROW_BLOCKS * SCRATCH_SLOTS;
          let block = subgroup % ROW_BLOCKS;
          let sums = acc[r * PV_WIDTH + c];
          subgroupMatrixStore<row_major>(&row_blocks[block], scratch, sums, 4u);
          workgroupBarrier();
          let owner = thread / LANES;
          let row = owner % PV_ROW_BLOCKS * PV_ROWS + r * SIDE + thread % LANES / 2u;
          for (var i = 0u; i < 2u; i++) { // @unroll
            let slot = owner / ROW_BLOCKS * SCRATCH_SLOTS + thread % LANES * 2u + i;
            let old = bitcast<vec4f>(row_blocks[owner % ROW_BLOCKS][slot]);
            row_blocks[owner % ROW_BLOCKS][slot] = bitcast<vec4<u32>>(old * factor_of(row));
          }
          workgroupBarrier();
          acc[r * PV_WIDTH + c] = subgroupMatrixLoad<Sums, row_major>(
            &row_blocks[block],
            scratch,
            4u,
          );
          workgroupBarrier();
        }
      }
      atomicStore(&changed, 0u);
      if (my_part == 0u) {
        store_factor(my_row, 1.0);
      }
    }
  }

  // 7. Sum l over the threads of a row, divide and store. The sink logit adds to l alone.
  for (var bit = 0u; bit < ROW_BITS; bit++) { // @unroll
    l += subgroupShuffleXor(l, 1u << bit);
  }
  let head = kv_head * GROUP + (first_row + my_row) % GROUP;
  let sink = sink_logits[head / 4u][head % 4u] * LOG2_E;
  let m_new = max(m, sink);
  let alpha = exp2(m - m_new);
  if (my_part == 0u) {
    store_factor(my_row, alpha / (l * alpha + exp2(sink - m_new)));
  }
  for (var r = 0u; r < PV_HEIGHT; r++) { // @unroll
    for (var c = 0u; c < PV_WIDTH; c++) { // @unroll
      workgroupBarrier();
      let scratch = subgroup / ROW_BLOCKS * SCRATCH_SLOTS;
      let block = subgroup % ROW_BLOCKS;
      subgroupMatrixStore<row_major>(&row_blocks[block], scratch, acc[r * PV_WIDTH + c], 4u);
      workgroupBarrier();
      let owner = thread / LANES;
      let my_acc_row = owner % PV_ROW_BLOCKS * PV_ROWS + r * SIDE + thread % LANES / 2u;
      let dim = owner / PV_ROW_BLOCKS * PV_DIMS + c * SIDE;
      let row = first_row + my_acc_row;
      if (row / GROUP < length) {
        let first = row_at(sequence, kv_head, row / GROUP, row) + dim / 4u + thread % 2u * 2u;
        for (var i = 0u; i < 2u; i++) { // @unroll
          let slot = owner / ROW_BLOCKS * SCRATCH_SLOTS + thread % LANES * 2u + i;
          let sums = bitcast<vec4f>(row_blocks[owner % ROW_BLOCKS][slot]);
          prompt_out[first + i] = sums * factor_of(my_acc_row);
        }
      }
    }
  }
}
