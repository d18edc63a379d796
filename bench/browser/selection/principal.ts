/** Principal components of rows, to draw many dimensions in three. */

/** Rows in the space of their first principal components. */
export interface Components {
  /** [rows, 3]; the farthest row is at distance 1 from the mean. */
  readonly points: Float32Array<ArrayBuffer>;
  /** The share of the variance that each component has. */
  readonly shares: readonly number[];
}

/** Dimensions of the drawing. */
const AXES = 3;
/** Turns of the iteration: each divides the error by the ratio of neighbouring variances. */
const TURNS = 300;

/** The first three principal components of `rows`, [count, width]. */
export function principalComponents(rows: Float32Array, width: number): Components {
  const count = rows.length / width;
  const mean = new Float64Array(width);
  for (let i = 0; i < rows.length; i++) mean[i % width] += rows[i] / count;
  const matrix = covariance(rows, mean, width);
  const axes = largestAxes(matrix, width);
  const points = new Float32Array(count * AXES);
  let farthest = 0;
  for (let row = 0; row < count; row++) {
    let square = 0;
    for (const [a, axis] of axes.entries()) {
      let sum = 0;
      for (let d = 0; d < width; d++) sum += (rows[row * width + d] - mean[d]) * axis[d];
      points[row * AXES + a] = sum;
      square += sum * sum;
    }
    farthest = Math.max(farthest, Math.sqrt(square));
  }
  if (farthest > 0) { for (let i = 0; i < points.length; i++) points[i] /= farthest; }
  const total = matrix.reduce((sum, value, i) => i % (width + 1) === 0 ? sum + value : sum, 0);
  const shares = axes.map((axis) => total > 0 ? dot(axis, times(matrix, axis)) / total : 0);
  return { points, shares };
}

/** The covariance of the rows, [width, width]. */
function covariance(rows: Float32Array, mean: Float64Array, width: number): Float64Array {
  const count = rows.length / width;
  const matrix = new Float64Array(width * width);
  const centred = new Float64Array(width);
  for (let row = 0; row < count; row++) {
    for (let d = 0; d < width; d++) centred[d] = rows[row * width + d] - mean[d];
    for (let i = 0; i < width; i++) {
      const scaled = centred[i] / count;
      for (let j = 0; j < width; j++) matrix[i * width + j] += scaled * centred[j];
    }
  }
  return matrix;
}

type Axis = Float64Array<ArrayBuffer>;

/** Orthogonal iteration: the axes of the largest variances, largest first. */
function largestAxes(matrix: Float64Array, width: number): Axis[] {
  // Any start that is orthogonal to no axis will do. It is fixed, so that a view repeats.
  let axes = Array.from(
    { length: Math.min(AXES, width) },
    (_, a) => Float64Array.from({ length: width }, (_, d) => Math.cos((a + 1) * (d + 0.5) * 1.7)),
  );
  for (let turn = 0; turn < TURNS; turn++) {
    axes = orthonormal(axes.map((axis) => times(matrix, axis)));
  }
  return axes;
}

/** Gram and Schmidt's method. An axis without any variance becomes zeros. */
function orthonormal(axes: readonly Axis[]): Axis[] {
  const done: Axis[] = [];
  for (const axis of axes) {
    let rest: Axis = axis;
    for (const other of done) {
      const part = dot(rest, other);
      rest = rest.map((value, d) => value - part * other[d]);
    }
    const length = Math.sqrt(dot(rest, rest));
    done.push(rest.map((value) => length > 0 ? value / length : 0));
  }
  return done;
}

function times(matrix: Float64Array, axis: Axis): Axis {
  const width = axis.length;
  return axis.map((_, i) => dot(matrix.subarray(i * width, (i + 1) * width), axis));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d] * b[d];
  return sum;
}
