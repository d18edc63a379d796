/**
 * Test support: makes a command lose its device, if the command is started with `--preload` of this
 * file. The variable TESTING_LOSS holds `LABEL COUNT MARKER`. The device is lost when the pipeline
 * LABEL (or `any`) is compiled for the COUNT-th time, and the file MARKER is then created. If it
 * exists already, the device is kept. MARKER `always` loses the device every time.
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
