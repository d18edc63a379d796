/** Reads the losses of a run late, because a host that waits for each one leaves the GPU idle. */
import type { numpy as np } from "@jax-js/jax";
import type { Backend } from "./backend.ts";

/**
 * Steps whose losses may be unread. Deno checks every 10 ms whether a GPU's buffer can be read, and
 * a GPU takes less time for a step. The wasm backend gains nothing from late reads.
 */
export const MOST_UNREAD: Readonly<Record<Backend, number>> = { wasm: 0, webgpu: 16 };

/** Share of a new loss in the running mean. */
const LOSS_SHARE = 0.05;

/** A loss is not finite, and the run cannot continue. */
export class DivergedError extends Error {
  /** The message names the step. */
  constructor(step: number) {
    super(`The loss of step ${step} is not finite; a lower --lr may help.`);
    this.name = "DivergedError";
  }
}

/** The running mean of the losses, which are read in the order of their steps. */
export interface Losses {
  /** Running mean of the losses read so far. */
  readonly mean: number;
  /**
   * Adds the loss of a step, counted from 1, and waits until at most `mostUnread` are unread.
   *
   * @throws {DivergedError} if one of the losses that it reads is not finite.
   */
  add(step: number, loss: np.Array): Promise<void>;
  /**
   * Reads all losses that are unread.
   *
   * @throws {DivergedError} if one is not finite.
   */
  readAll(): Promise<void>;
}

/** A loss that has not yet been read. */
interface Unread {
  readonly step: number;
  readonly data: Promise<ArrayLike<number>>;
}

/** Continues from a running mean. */
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
      // Submits the step: its memory is freed only after that.
      if (loss.device === "webgpu") await loss.ref.gpuBuffer();
      unread.push({ step, data: loss.data() });
      await readUntil(mostUnread);
    },
    readAll: () => readUntil(0),
  };
}
