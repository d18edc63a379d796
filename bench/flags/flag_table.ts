/**
 * The table of a command: what it takes and what it says of itself. The parser (`parse_flags.ts`)
 * and the help (`help_text.ts`) are made from it, so that a flag is stated once.
 */

/** What every flag states. */
interface Common {
  /** What the flag does. `--help` puts the default behind it. */
  readonly help: string;
  /** What `--help` adds behind the default. */
  readonly more?: string;
  /** Flags that this one cannot stand beside. One of the two states it; messages name it last. */
  readonly contradicts?: readonly string[];
  /** Flags without which this one means nothing, each with what the message calls it. */
  readonly needs?: Readonly<Record<string, string>>;
  /** Whether no other flag would change anything beside this one, so that none may stand there. */
  readonly alone?: true;
}

/** A flag that is on or off; off by default. */
export interface Switch extends Common {
  readonly value?: undefined;
  readonly read?: undefined;
}

/** A flag with a value. */
export interface ValueFlag extends Common {
  /** What `--help` calls the value, such as `FILE`, or `FILE,..` for a list. */
  readonly value: string;
  /** Reads the value, or throws a `UsageError` of one sentence. */
  readonly read: (name: string, text: string) => unknown;
  /** The value, as a caller would write it, where the flag is not given. */
  readonly default?: string;
  /** What `--help` says of the default where the command works it out. */
  readonly defaultNote?: string;
  /** Whether the command cannot run without the flag. */
  readonly required?: true;
}

/** A flag of a command. */
export type Flag = Switch | ValueFlag;

/** Flags by their names without dashes, in the order of `--help`. */
export type Flags = Readonly<Record<string, Flag>>;

/** Flags by the headings under which `--help` lists them. */
export type Sections = Readonly<Record<string, Flags>>;

/** A term with its explanation, such as a method with what it does. */
export type Term = readonly [term: string, explanation: string];

/** A part of the help that is about no flag: a paragraph, or terms below a heading. */
export type Note = string | {
  readonly heading: string;
  /** A paragraph between the heading and the terms. */
  readonly about?: string;
  readonly terms: readonly Term[];
};

/** What a parser needs to know. */
export interface FlagTable<S extends Sections = Sections> {
  /** Words that are no flags, such as names of files; without it they are refused. */
  readonly words?: Term;
  readonly sections: S;
}

/** A command: its flags, and the rest of its help. */
export interface Command<S extends Sections = Sections> extends FlagTable<S> {
  /** A sentence on what the command does. */
  readonly purpose: string;
  /** What to type. */
  readonly usage: string;
  /** A paragraph before the flags. */
  readonly about?: string;
  /** What stands behind the flags. */
  readonly notes: readonly Note[];
}

type ValueOf<F> = F extends { readonly read: (name: string, text: string) => infer T }
  ? F extends { readonly default: string } | { readonly required: true } ? T : T | null
  : boolean;

type NameIn<F> = F extends unknown ? keyof F & string : never;

/**
 * The values of the flags by their names: what a reader returns, or null where a flag is not given
 * and has no default; true or false for a switch.
 */
export type Values<S extends Sections> = {
  readonly [N in NameIn<S[keyof S]>]: ValueOf<
    Extract<S[keyof S], Readonly<Record<N, Flag>>>[N]
  >;
};

/** The flags of all sections with their names, in order. */
export function flagsOf(sections: Sections): (readonly [string, Flag])[] {
  return Object.values(sections).flatMap((flags) => Object.entries(flags));
}
