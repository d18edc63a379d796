import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { matrixKernel } from "../../kernels/probe/probes.ts";
import { emulateMatrices } from "./emulated_matrices.ts";

Deno.test("emulateMatrices() leaves no matrix in a kernel, and refuses what it does not know", () => {
  const { source } = matrixKernel;
  assertMatch(source, /subgroupMatrixLoad/);
  assertEquals(emulateMatrices(source).includes("subgroupMatrix"), false);
  const other = source.replaceAll("&slots[subgroup]", "&all.slots");
  assertThrows(() => emulateMatrices(other), SyntaxError, "subgroupMatrixLoad is not emulated");
});
