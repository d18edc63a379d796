/** Numbers with their units, for sentences. */

/** `1 token`, `2 tokens`. */
export function counted(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
