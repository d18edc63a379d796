import { assertEquals } from "@std/assert";
import { cardOf, isCard } from "./card.ts";

Deno.test("isCard() tells a card from a vendor with the numbers of its driver", () => {
  for (const adapter of ["NVIDIA H200", "nvidia-h200", "Small GPU", "Radeon 780M"]) {
    assertEquals(isCard(cardOf(adapter)), true, adapter);
  }
  assertEquals(isCard(cardOf("NVIDIA: 580.159.04 580.159.4.0")), false);
});
