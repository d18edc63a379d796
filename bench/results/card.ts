/**
 * The name of an adapter's card, by the rule of WebGPU's normalized identifier strings: lower case,
 * with a hyphen for all that is neither a letter nor a digit. Deno's own WebGPU says `NVIDIA H200`
 * of the card that Dawn calls `nvidia-h200`.
 */
export function cardOf(adapter: string): string {
  return adapter.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
}

/** Whether it names a card: Dawn's name may be the vendor's and its driver's numbers alone. */
export function isCard(card: string): boolean {
  return !/^[a-z]+(-\d+)+$/.test(card);
}
