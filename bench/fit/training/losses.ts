/** The losses of a run, read late: a host that waits for each one keeps a GPU from working. */
import type { numpy as np } from "@jax-js/jax";
import type { Backend } from "./backend.ts";

/**
 * Steps whose losses may be unread. Deno looks every 10 ms whether a GPU's buffer can be read, and
 * a GPU takes fewer for a step. The wasm backend computes no faster for being left alone.
 */
export const MOST_UNREAD: Readonly<Record<Backend, number>> = { wasm: 0, webgpu: 16 };

/** Share of a new loss in the running mean. */
const LOSS_SHARE = 0.05;

/** A loss that is no number: the run cannot go on. */
export class DivergedError extends Error {
  /** Tells the step. */
  constructor(step: number) {
    super(`The loss of step ${step} is not finite; a lower --lr may help.`);
    this.name = "DivergedError";
  }
}

/** The running mean of losses, which are read in the order of their steps. */
export interface Losses {
  /** Of the losses read so far. */
  readonly mean: number;
  /**
   * Adds the loss of a step, counted from 1, and waits until no more than `mostUnread` are unread.
   *
   * @throws {DivergedError} if a loss that is read is not finite.
   */
  add(step: number, loss: np.Array): Promise<void>;
  /**
   * Waits for all.
   *
   * @throws {DivergedError} if one is not finite.
   */
  readAll(): Promise<void>;
}

/** A loss on its way from the device. */
interface Unread {
  readonly step: number;
  readonly data: Promise<ArrayLike<number>>;
}

/** Goes on from a running mean. */
export function createLosses(mean: number, mostUnread: number): Losses {
  const unread: Unread[] = [];

  async function readUntil(left: number): Promise<void> {
    while (unread.length > left) {
      const { step, data } = unread.shift()!;
      const [loss] = Array.from(await data);
      if (!Number.isFinite(loss)) throw new DivergedError(step);
      mean = step === 1 ? loss : mean + LOSS_SHARE * (loss - mean);
    }
  }

  return {
    get mean() {
      return mean;
    },
    async add(step, loss) {
      // Has the step submitted; until it is, none of the memory that it has used comes free.
      if (loss.device === "webgpu") await loss.ref.gpuBuffer();
      unread.push({ step, data: loss.data() });
      await readUntil(mostUnread);
    },
    readAll: () => readUntil(0),
  };
}
