/** Copies the texts of `kernels/shared/` into the kernels that hold them. */
import { kernelFiles, kernelPath, readShared } from "./kernel_files.ts";
import { withSharedText } from "./shared_text.ts";

for (const file of kernelFiles()) {
  const source = Deno.readTextFileSync(file);
  const synced = withSharedText(source, readShared);
  if (synced === source) continue;
  Deno.writeTextFileSync(file, synced);
  console.log(`${kernelPath(file)} changed`);
}
