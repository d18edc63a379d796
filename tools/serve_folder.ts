/** Serves a folder of static files on localhost. */

/** Types of the files that the page has. A module with another type does not start. */
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  json: "application/json",
  csv: "text/csv; charset=utf-8",
};

/** A server that is running. */
export interface FolderServer {
  /** The address of the folder, with a slash at its end. */
  readonly url: string;
  /** Resolves when the server has stopped. */
  readonly finished: Promise<void>;
  stop(): Promise<void>;
}

/**
 * Serves the files of `folder`.
 *
 * @param port 0 takes any free one.
 */
export function serveFolder(folder: string, port: number): FolderServer {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port, onListen() {} },
    (request) => answer(folder, request),
  );
  return {
    url: `http://localhost:${server.addr.port}/`,
    finished: server.finished,
    stop: () => server.shutdown(),
  };
}

async function answer(folder: string, { url, method }: Request): Promise<Response> {
  if (method !== "GET" && method !== "HEAD") return new Response(null, { status: 405 });
  const path = decodeURIComponent(new URL(url).pathname).replace(/\/$/, "/index.html");
  // A URL has no "..", unless it is encoded.
  if (path.split(/[/\\]/).includes("..")) return new Response(null, { status: 404 });
  try {
    const file = await Deno.open(`${folder}${path}`);
    const type = TYPES[path.split(".").at(-1)!] ?? "application/octet-stream";
    return new Response(file.readable, {
      headers: { "content-type": type, "cache-control": "no-store" },
    });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.IsADirectory)) {
      throw error;
    }
    return new Response("There is no such file.", { status: 404 });
  }
}
