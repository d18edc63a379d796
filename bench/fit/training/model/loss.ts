/**
 * The losses. Functions on arrays take ownership of their arguments, as in jax-js. Sums run over
 * the keys first, because one sum of millions of elements loses digits in f32.
 */
import { numpy as np, scipySpecial } from "@jax-js/jax";
import { sigmoid, softplus } from "./activations.ts";
import { similarityOf } from "./similarity.ts";
import { encodeRows, sideParams } from "./model.ts";
import type { Recipe } from "../recipe.ts";
import type { Batch } from "../data/sample.ts";

/** A batch on the device. */
export type DeviceBatch = { [Name in keyof Batch]: np.Array };

/** Stands for minus infinity: its exponential is 0, and it is finite in f32. */
const MASKED = -1e30;

/** The least variance of similarities: keeps the gradient of the square root finite. */
const LEAST_VARIANCE = 1e-6;

/**
 * The loss of a batch: the mean of the heads' losses. No head affects another head's loss.
 *
 * @param params Arrays in the order of `HostParams`.
 * @returns A scalar.
 */
export function batchLoss(
  recipe: Recipe,
  params: readonly np.Array[],
  batch: DeviceBatch,
): np.Array {
  const { loss } = recipe;
  const { queries, keys, tokens, lastTokens } = batch;
  const logScale = params[params.length - 1];
  const outputs = (side: "query" | "key", rows: np.Array) =>
    encodeRows(sideParams(params, side), rows);
  const similarity = similarityOf(
    recipe,
    outputs("query", queries.ref),
    outputs("key", keys.ref),
  );
  const valid = np.lessEqual(tokens, lastTokens);
  if (loss.learns === "positives") {
    for (const unused of [queries, keys, logScale]) unused.dispose();
    return positivesLoss(similarity, batch.labels!, valid, loss.alpha);
  }
  const logits = np.matmul(queries, np.matrixTranspose(keys))
    .mul(1 / Math.sqrt(queries.shape[2]));
  const mass = attentionMass(logits, valid.ref, batch.edges!, batch.keyWeight!);
  // Broadcast to queries first, so that the gradient sums over keys first and not over all at once.
  const scale = np.broadcastTo(np.exp(logScale), [...similarity.shape.slice(0, 2), 1]);
  const scaled = similarity.ref.mul(scale);
  const cut = { cuts: batch.cuts!, width: loss.cutWidth };
  return crossEntropy(scaled, mass.ref, valid.ref)
    .add(lostMass(similarity, mass, valid, cut).mul(loss.cutWeight));
}

/**
 * The share of each query's attention on each sampled key [heads, Q, K]. The total includes an
 * estimate for the keys that were not sampled.
 *
 * @param logits Scaled, [heads, Q, K].
 * @param valid [Q, K], whether a key is in the query's middle.
 */
function attentionMass(
  logits: np.Array,
  valid: np.Array,
  edges: np.Array,
  keyWeight: np.Array,
): np.Array {
  const masked = np.where(valid, logits, MASKED);
  const highest = np.maximum(np.max(masked.ref, -1, { keepdims: true }), edges.ref);
  const weights = np.exp(masked.sub(highest.ref)).mul(keyWeight);
  const total = np.sum(weights.ref, -1, { keepdims: true }).add(np.exp(edges.sub(highest)));
  return weights.div(total);
}

/** Mean over queries and heads of -sum mass * log softmax(scaled). */
function crossEntropy(scaled: np.Array, mass: np.Array, valid: np.Array): np.Array {
  const masked = np.where(valid.ref, scaled, MASKED);
  const normaliser = scipySpecial.logsumexp(masked.ref, -1, { keepdims: true });
  const logProbability = np.where(valid, masked.sub(normaliser), 0);
  return np.mean(np.sum(mass.mul(logProbability), -1)).mul(-1);
}

/**
 * Mean over queries and heads of -sum mass * sigmoid((similarity - cut) / width). The cut selects
 * the budget's number of keys if the similarities of the query's keys are normally distributed.
 */
function lostMass(
  similarity: np.Array,
  mass: np.Array,
  valid: np.Array,
  { cuts, width }: { readonly cuts: np.Array; readonly width: number },
): np.Array {
  const counted = valid.astype(np.float32);
  const count = np.maximum(np.sum(counted.ref, -1, { keepdims: true }), 1);
  const meanOf = (values: np.Array) =>
    np.sum(values.mul(counted.ref), -1, { keepdims: true }).div(count.ref);
  const mean = meanOf(similarity.ref);
  const variance = meanOf(np.square(similarity.ref.sub(mean.ref)));
  for (const array of [counted, count]) array.dispose();
  const cut = mean.add(np.sqrt(np.maximum(variance, LEAST_VARIANCE)).mul(cuts));
  const kept = sigmoid(similarity.sub(cut).mul(1 / width));
  return np.mean(np.sum(mass.mul(kept), -1)).mul(-1);
}

/**
 * The paper's recommendation loss: binary cross-entropy of sigmoid(similarity) with the labels,
 * mean over all pairs of a query and a middle token. A positive has weight `alpha`, a negative 1.
 */
function positivesLoss(
  similarity: np.Array,
  labels: np.Array,
  valid: np.Array,
  alpha: number,
): np.Array {
  const [heads] = similarity.shape;
  const counted = valid.astype(np.float32);
  // -log sigmoid(s) = softplus(-s) and -log(1 - sigmoid(s)) = softplus(s).
  const positive = softplus(similarity.ref.mul(-1)).mul(labels.ref).mul(alpha);
  const negative = softplus(similarity).mul(np.subtract(1, labels));
  const total = np.sum(np.sum(positive.add(negative).mul(counted.ref), -1));
  return total.div(np.sum(np.sum(counted, -1)).mul(heads));
}
