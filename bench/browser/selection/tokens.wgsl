// Draws tokens as marks: the shape and the color tell a token's fate, the halo its weight.

struct View {
  matrix: mat4x4<f32>,
  // Pixels of the canvas.
  size: vec2<f32>,
  // Pixels of a mark.
  radius: f32,
  // Height of the threshold in the space of the tokens.
  threshold: f32,
}

@group(0) @binding(0) var<uniform> view: View;

const WINDOW = 1u;
const HIT = 2u;
const EXTRA = 3u;
const MISSED = 4u;

struct Mark {
  @builtin(position) at: vec4<f32>,
  // From the mark's centre, in radii of a mark.
  @location(0) corner: vec2<f32>,
  // The root of the share of the largest weight.
  @location(1) light: f32,
  @location(2) @interpolate(flat) fate: u32,
}

@vertex
fn mark_vertex(
  @builtin(vertex_index) vertex: u32,
  @location(0) place: vec3<f32>,
  @location(1) light: f32,
  @location(2) fate: u32,
) -> Mark {
  let unit = vec2<f32>(f32(vertex & 1u), f32(vertex >> 1u)) * 2.0 - 1.0;
  // The halo reaches farther than the mark.
  let reach = 1.5 + 6.0 * light;
  var mark: Mark;
  mark.at = view.matrix * vec4<f32>(place, 1.0);
  mark.at += vec4<f32>(unit * reach * view.radius * 2.0 / view.size * mark.at.w, 0.0, 0.0);
  mark.corner = unit * reach;
  mark.light = light;
  mark.fate = fate;
  return mark;
}

fn color_of(fate: u32) -> vec3<f32> {
  switch fate {
    case WINDOW: { return vec3<f32>(0.79, 0.55, 1.0); }
    case HIT: { return vec3<f32>(0.3, 0.85, 0.48); }
    case EXTRA: { return vec3<f32>(0.35, 0.65, 1.0); }
    case MISSED: { return vec3<f32>(1.0, 0.48, 0.27); }
    default: { return vec3<f32>(0.5, 0.54, 0.6); }
  }
}

// 1 within a shape, whose edge is where `far` is `radius`.
fn inside(far: f32, radius: f32) -> f32 {
  let edge = 0.5 / view.radius;
  return 1.0 - smoothstep(radius - edge, radius + edge, far);
}

// How much of a pixel the mark covers.
fn coverage(fate: u32, corner: vec2<f32>) -> f32 {
  let round = length(corner);
  let along = abs(corner);
  switch fate {
    case WINDOW: { return 0.45 * inside(along.x + along.y, 0.8); }
    case HIT: { return inside(round, 1.0); }
    case EXTRA: { return inside(max(along.x, along.y), 0.8); }
    case MISSED: { return inside(abs(round - 1.0), 0.25); }
    default: { return 0.35 * inside(round, 0.45); }
  }
}

@fragment
fn mark_fragment(mark: Mark) -> @location(0) vec4<f32> {
  let color = color_of(mark.fate);
  let far = length(mark.corner);
  let reach = 1.5 + 6.0 * mark.light;
  let glow = 1.4 * mark.light * exp(-2.5 * far / reach) * max(0.0, 1.0 - far / reach);
  let light = color * coverage(mark.fate, mark.corner) + (0.4 * color + 0.6) * glow;
  return vec4<f32>(light, 0.0);
}

@vertex
fn threshold_vertex(@builtin(vertex_index) vertex: u32) -> @builtin(position) vec4<f32> {
  let x = f32(vertex) * 2.0 - 1.0;
  let at = view.matrix * vec4<f32>(0.0, view.threshold, 0.0, 1.0);
  return vec4<f32>(x, at.y / at.w, 0.0, 1.0);
}

@fragment
fn threshold_fragment() -> @location(0) vec4<f32> {
  return vec4<f32>(0.55, 0.55, 0.3, 0.0);
}
