var query: array<vec4f, LIST_HEADS * PARTS>;
var acc: array<vec4f, LIST_HEADS * PARTS>;
var m: array<f32, LIST_HEADS>;
var l: array<f32, LIST_HEADS>;
for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
  m[h] = NEG_LARGE;
  l[h] = 0.0;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    let quad = query_quad((first_head + h) * HEAD_QUADS + row_quad(part, lane));
    query[h * PARTS + part] = quad * query_scale(part, lane);
    acc[h * PARTS + part] = vec4f(0.0);
  }
}
