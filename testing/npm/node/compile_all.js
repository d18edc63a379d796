// A Node program: compiles every kernel of the package with Dawn, which needs no driver for that.
import { create, globals } from "webgpu";
import { createDecoder, ROTATION } from "@hashattention/bench";
import {
  dispatchWgsl,
  EVERY_VARIANT,
  limitsOf,
  MATRIX_FEATURES,
  planOn,
  requestDecoderDevice,
} from "@hashattention/bench/kernels";

Object.assign(globalThis, globals);
const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
const device = await requestDecoderDevice(await gpu.requestAdapter(), MATRIX_FEATURES);
// The limits of a large GPU, which refuse hardly any setting. Nothing runs, so nothing needs them.
const products = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
const limits = {
  ...limitsOf(device),
  maxComputeWorkgroupStorageSize: 65536,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxStorageBuffersPerShaderStage: 16,
  handOver: "barrier",
  subgroupMinSize: 32,
  subgroupMatrices: [products],
};

const shape = {
  batch: 1,
  qHeads: 8,
  kvHeads: 2,
  headDim: 64,
  kvLen: 4000,
  capacity: 4096,
  dtype: "f16",
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};
const head = { bits: 32, sharing: "head", map: { layers: 1, hidden: 128, dtype: "f16" } };
const group = { ...head, bits: 128, sharing: "group" };
const rotated = { bits: 64, sharing: "kv", map: ROTATION, planes: 2, ties: "higher" };

async function compile(dispatch) {
  device.pushErrorScope("validation");
  device.createShaderModule({ code: dispatchWgsl(dispatch) });
  const error = await device.popErrorScope();
  if (error) throw new Error(`${dispatch.kernel.name} does not compile: ${error.message}`);
}

const compiled = new Set();
const requests = { ...rotated, batch: 2, prefix: 2048 };
const formats = { ...rotated, qDtype: "f16", outDtype: "f16", scale: 0.1, softCap: 30 };
for (const codes of [head, group, rotated, requests, formats]) {
  const problem = { ...shape, ...codes };
  for (const variant of EVERY_VARIANT) {
    const params = variant.defaults(problem, limits);
    if (variant.refuses(problem, params, limits) !== undefined) continue;
    for (const dispatch of planOn(variant, problem, params, limits).dispatches) {
      await compile(dispatch);
    }
    compiled.add(variant.name);
  }
}
const missing = EVERY_VARIANT.map(({ name }) => name).filter((name) => !compiled.has(name));
console.log(
  `${compiled.size} of ${EVERY_VARIANT.length} variants compile in Node ${process.version}`,
);
if (missing.length > 0) throw new Error(`not compiled: ${missing.join(", ")}`);
if (typeof createDecoder !== "function") throw new Error("the package has no createDecoder()");
// Dawn keeps the process alive.
process.exit(0);
