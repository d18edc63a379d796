/** Where tokens stand in the two pictures, and the cameras that look at them. */
import { type Mat4, mat4, vec3 } from "wgpu-matrix";
import type { Marks } from "./draw.ts";
import type { LookResult, LookTrace } from "./look.ts";

/** The light of the tokens: roots of their shares of the largest weight, so that many show. */
export function lightOf(weights: Float32Array): Float32Array {
  const largest = weights.reduce((a, b) => Math.max(a, b), 0);
  return weights.map((weight) => largest > 0 ? Math.sqrt(weight / largest) : 0);
}

/** Tokens by position and score. */
export interface Strip extends Marks {
  /** The height of the threshold; null if nothing is selected. */
  readonly threshold: number | null;
}

/** Positions run from -1 to 1, scores from -1 to 1 for the best. */
export function stripOf({ weights, costs, fates, threshold }: LookResult): Strip {
  const [least, most] = costs.reduce(
    ([low, high], cost) => [Math.min(low, cost), Math.max(high, cost)],
    [Infinity, -Infinity],
  );
  const height = (cost: number) => most > least ? 1 - 2 * (cost - least) / (most - least) : 0;
  const last = Math.max(1, fates.length - 1);
  const places = new Float32Array(3 * fates.length);
  for (let token = 0; token < fates.length; token++) {
    places[3 * token] = 2 * token / last - 1;
    places[3 * token + 1] = height(costs[token]);
  }
  return {
    places,
    light: lightOf(weights),
    fates,
    threshold: threshold === null ? null : height(threshold),
  };
}

/** The matrix of the strip: flat, with a margin for halos. */
export function stripMatrix(): Mat4 {
  return mat4.ortho(-1.03, 1.03, -1.1, 1.1, -1, 1);
}

/** The keys up to the query's own, in the space of their principal components. */
export function cloudOf({ points }: LookTrace, { weights, fates }: LookResult): Marks {
  return { places: points.subarray(0, 3 * fates.length), light: lightOf(weights), fates };
}

/** A camera that goes round the origin. */
export interface Camera {
  /** Angles in radians. */
  turn: number;
  tilt: number;
  distance: number;
}

/** The camera of a view that opens. */
export const FIRST_CAMERA: Readonly<Camera> = { turn: 0.6, tilt: 0.35, distance: 2.4 };

const FIELD = Math.PI / 4;

/** Moves a camera within its bounds. */
export function moveCamera(camera: Camera, turn: number, tilt: number, zoom = 1): void {
  const bound = Math.PI / 2 - 0.05;
  camera.turn += turn;
  camera.tilt = Math.min(bound, Math.max(-bound, camera.tilt + tilt));
  camera.distance = Math.min(8, Math.max(0.8, camera.distance * zoom));
}

/** The matrix of a camera. */
export function cloudMatrix({ turn, tilt, distance }: Camera, aspect: number): Mat4 {
  const eye = vec3.create(
    distance * Math.cos(tilt) * Math.sin(turn),
    distance * Math.sin(tilt),
    distance * Math.cos(tilt) * Math.cos(turn),
  );
  const look = mat4.lookAt(eye, vec3.create(0, 0, 0), vec3.create(0, 1, 0));
  return mat4.multiply(mat4.perspective(FIELD, aspect, 0.05, 20), look);
}
