import { assertThrows } from "@std/assert";
import { assertAgreement, BackendMismatchError } from "./backend.ts";

Deno.test("assertAgreement() allows rounding and names the quantity that differs", () => {
  const expected = { loss: [2], gradient: [3, -4] };
  assertAgreement({ loss: [2.0001], gradient: [3.001, -4.001] }, expected);
  const refused = (actual: typeof expected, message: string) =>
    assertThrows(() => assertAgreement(actual, expected), BackendMismatchError, message);
  refused({ ...expected, loss: [2.002] }, "another loss than the CPU (1.0e-3 apart)");
  refused({ ...expected, gradient: [3, -3.5] }, "another gradient than the CPU (1.0e-1 apart)");
  refused({ ...expected, gradient: [NaN, -4] }, "another gradient");
});
