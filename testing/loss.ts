/**
 * Test support: loses the device of a command that is started with `--preload` of this file. The
 * variable TESTING_LOSS holds `LABEL COUNT MARKER`: the device is lost when the pipeline LABEL, or
 * `any`, is compiled for the COUNT-th time, unless the file MARKER is there, which is made then.
 * MARKER `always` stands for none.
 */
const [label, count, marker] = (Deno.env.get("TESTING_LOSS") ?? "").split(" ");
const compile = GPUDevice.prototype.createComputePipelineAsync;
let compiled = 0;

function isFirst(): boolean {
  try {
    if (marker !== "always") Deno.writeTextFileSync(marker, "", { createNew: true });
    return true;
  } catch {
    return false;
  }
}

GPUDevice.prototype.createComputePipelineAsync = function (descriptor) {
  if (
    (label === "any" || descriptor.label === label) && ++compiled === Number(count) && isFirst()
  ) this.destroy();
  return compile.call(this, descriptor);
};
