/** The element with the shortest time. */

/** The element with the shortest time, the first of equal ones; undefined if there is none. */
export function fastest<T>(all: readonly T[], usOf: (each: T) => number): T | undefined {
  return all.reduce<T | undefined>(
    (best, each) => best !== undefined && usOf(best) <= usOf(each) ? best : each,
    undefined,
  );
}
