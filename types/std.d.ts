/**
 * Types of the `@std` functions in use, equal to the official ones. The npm build that deno.json
 * maps these names to has no types. Delete this file once the names map to the official packages.
 */

declare module "@std/assert" {
  /** The class of every error that these functions throw. */
  export class AssertionError extends Error {
    constructor(message: string, options?: ErrorOptions);
  }

  // deno-lint-ignore no-explicit-any
  type ErrorClass<E extends Error> = new (...args: any[]) => E;

  export function assert(expr: unknown, msg?: string): asserts expr;
  export function assertEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertAlmostEquals(
    actual: number,
    expected: number,
    tolerance?: number,
    msg?: string,
  ): void;
  export function assertGreater<T>(actual: T, expected: T, msg?: string): void;
  export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void;
  export function assertLess<T>(actual: T, expected: T, msg?: string): void;
  export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void;
  export function assertMatch(actual: string, expected: RegExp, msg?: string): void;
  export function assertStringIncludes(actual: string, expected: string, msg?: string): void;
  export function assertThrows(fn: () => unknown, msg?: string): unknown;
  export function assertThrows<E extends Error = Error>(
    fn: () => unknown,
    ErrorClass: ErrorClass<E>,
    msgIncludes?: string,
    msg?: string,
  ): E;
  export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
  export function assertRejects<E extends Error = Error>(
    fn: () => PromiseLike<unknown>,
    ErrorClass: ErrorClass<E>,
    msgIncludes?: string,
    msg?: string,
  ): Promise<E>;
  export function fail(msg?: string): never;
}

declare module "@std/cli/parse-args" {
  type Names<T extends string> = T | readonly T[];

  /** The options of {@link parseArgs}; flags without dots. */
  export interface ParseOptions<
    B extends string,
    S extends string,
    C extends string,
    N extends string,
    D extends Record<string, unknown>,
    DD extends boolean,
  > {
    /** Puts the arguments after a bare `--` under `"--"` instead of `_`. */
    "--"?: DD;
    alias?: Record<string, string | readonly string[]>;
    boolean?: Names<B>;
    string?: Names<S>;
    /** Flags that may be repeated; their values are collected in an array. */
    collect?: Names<C>;
    /** Flags that `--no-NAME` sets to false. */
    negatable?: Names<N>;
    default?: D;
    stopEarly?: boolean;
    /** Called for a flag or word that no option names; `false` keeps it out of the result. */
    unknown?: (arg: string, key?: string, value?: unknown) => unknown;
  }

  type StringValue<K, C, N> = (K extends C ? string[] : string) | (K extends N ? false : never);

  /** The parsed flags. Booleans and collected flags are always present, strings only if given. */
  export type Args<
    B extends string,
    S extends string,
    C extends string,
    N extends string,
    D extends Record<string, unknown>,
    DD extends boolean,
  > =
    & Record<string, unknown>
    & { [K in B]: K extends C ? boolean[] : boolean }
    & { [K in Extract<S, C | keyof D>]: StringValue<K, C, N> | (K extends keyof D ? D[K] : never) }
    & { [K in Exclude<S, C | keyof D>]?: StringValue<K, C, N> }
    & { [K in Exclude<C, S | B>]: unknown[] }
    & { _: Array<string | number> }
    & (DD extends true ? { "--": string[] } : Record<never, never>);

  export function parseArgs<
    const B extends string = never,
    const S extends string = never,
    const C extends string = never,
    const N extends string = never,
    D extends Record<string, unknown> = Record<never, never>,
    DD extends boolean = false,
  >(args: string[], options?: ParseOptions<B, S, C, N, D, DD>): Args<B, S, C, N, D, DD>;
}

declare module "@std/csv" {
  /** The options of {@link parse}. */
  export interface ParseOptions {
    separator?: string;
    comment?: string;
    trimLeadingSpace?: boolean;
    lazyQuotes?: boolean;
    fieldsPerRecord?: number;
    skipFirstRow?: boolean;
    columns?: readonly string[];
  }

  type RecordWithColumn<C extends string> = string extends C ? Record<string, string | undefined>
    : Record<C, string>;

  /** Objects if the options name columns or take them from the first row, otherwise arrays. */
  export type ParseResult<T extends ParseOptions> = T extends
    { columns: readonly (infer C extends string)[] } ? RecordWithColumn<C>[]
    : T extends { skipFirstRow: true } ? Record<string, string | undefined>[]
    : T extends { columns?: undefined; skipFirstRow?: false | undefined } ? string[][]
    : Record<string, string | undefined>[] | string[][];

  export function parse(input: string): string[][];
  export function parse<const T extends ParseOptions>(input: string, options: T): ParseResult<T>;

  type PropertyAccessor = number | string;

  /** A column: the property to read, or the path to it, optionally with a header. */
  export type Column =
    | PropertyAccessor
    | readonly PropertyAccessor[]
    | { header?: string; prop: PropertyAccessor | readonly PropertyAccessor[] };

  /** The options of {@link stringify}. */
  export interface StringifyOptions {
    headers?: boolean;
    separator?: string;
    columns?: readonly Column[];
    bom?: boolean;
  }

  export function stringify(
    data: readonly (Readonly<Record<string, unknown>> | readonly unknown[])[],
    options?: StringifyOptions,
  ): string;
}

declare module "@std/streams/text-line-stream" {
  /** Splits text into lines without line breaks. */
  export class TextLineStream extends TransformStream<string, string> {
    constructor(options?: { allowCR: boolean });
  }
}
