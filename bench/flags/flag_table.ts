/**
 * The types of a command's flag table. The parser (`parse_flags.ts`) and the help (`help_text.ts`)
 * both read the table, so that each flag is defined once.
 */

/** The properties of every flag. */
interface Common {
  /** Describes the flag. `--help` adds the default. */
  readonly help: string;
  /** Text that `--help` adds after the default. */
  readonly more?: string;
  /** Flags that exclude this one. Only one of the two lists the other; messages name it last. */
  readonly contradicts?: readonly string[];
  /** Flags that this one requires, each with its description in the message. */
  readonly needs?: Readonly<Record<string, string>>;
  /** Whether the flag excludes all others, since they would change nothing beside it. */
  readonly alone?: true;
}

/** A flag that is on or off; off by default. */
export interface Switch extends Common {
  readonly value?: undefined;
  readonly read?: undefined;
}

/** A flag with a value. */
export interface ValueFlag extends Common {
  /** The placeholder of the value in `--help`, such as `FILE`, or `FILE,..` for a list. */
  readonly value: string;
  /** Parses the value, or throws a `UsageError` of one sentence. */
  readonly read: (name: string, text: string) => unknown;
  /** The value if the flag is not given, as a caller would write it. */
  readonly default?: string;
  /** Describes the default in `--help` if the command computes it. */
  readonly defaultNote?: string;
  /** Whether the command cannot run without the flag. */
  readonly required?: true;
}

/** A flag of a command. */
export type Flag = Switch | ValueFlag;

/** Flags by their names without dashes, in the order of `--help`. */
export type Flags = Readonly<Record<string, Flag>>;

/** Flags by the headings of `--help`. */
export type Sections = Readonly<Record<string, Flags>>;

/** A term with its explanation, such as the name of a method with its description. */
export type Term = readonly [term: string, explanation: string];

/** A part of the help after the flags: a paragraph, or terms under a heading. */
export type Note = string | {
  readonly heading: string;
  /** A paragraph between the heading and the terms. */
  readonly about?: string;
  readonly terms: readonly Term[];
};

/** The part of a command that the parser reads. */
export interface FlagTable<S extends Sections = Sections> {
  /** Describes arguments that are not flags, such as file names; without it they are refused. */
  readonly words?: Term;
  readonly sections: S;
}

/** A command: its flags, and the rest of its help. */
export interface Command<S extends Sections = Sections> extends FlagTable<S> {
  /** One sentence on the command. */
  readonly purpose: string;
  /** How to call the command. */
  readonly usage: string;
  /** A paragraph before the flags. */
  readonly about?: string;
  /** The rest of the help, after the flags. */
  readonly notes: readonly Note[];
}

type ValueOf<F> = F extends { readonly read: (name: string, text: string) => infer T }
  ? F extends { readonly default: string } | { readonly required: true } ? T : T | null
  : boolean;

type NameIn<F> = F extends unknown ? keyof F & string : never;

/**
 * The values of the flags by name. A switch has true or false; another flag has the value that its
 * reader returns, or null if it is not given and has no default.
 */
export type Values<S extends Sections> = {
  readonly [N in NameIn<S[keyof S]>]: ValueOf<
    Extract<S[keyof S], Readonly<Record<N, Flag>>>[N]
  >;
};

/** The names and flags of all sections, in order. */
export function flagsOf(sections: Sections): (readonly [string, Flag])[] {
  return Object.values(sections).flatMap((flags) => Object.entries(flags));
}
