/// <reference lib="dom" />
/** The page's end of a worker. */
import type { Reply, Request } from "./messages.ts";

/** A worker and what it sends. */
export interface WorkerLink {
  send(request: Request): void;
  /** Ends the worker at once; nothing more arrives from it. */
  end(): void;
}

/**
 * Starts a worker. A worker that fails as a whole is reported as a refusal.
 *
 * @param take Takes the replies.
 */
export function startWorker(take: (reply: Reply) => void): WorkerLink {
  const worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });
  worker.addEventListener("message", (event: MessageEvent<Reply>) => take(event.data));
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    take({ type: "refused", message: event.message || "The page's worker does not start." });
  });
  return {
    send: (request) => worker.postMessage(request),
    end: () => worker.terminate(),
  };
}
