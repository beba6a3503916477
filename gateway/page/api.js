// Calls of the API that this page is served with: its token, its errors, its streams.

const KEPT = "cks-pool-token";

export const token = {
  get: () => sessionStorage.getItem(KEPT) ?? "",
  keep: (value) => sessionStorage.setItem(KEPT, value),
  forget: () => sessionStorage.removeItem(KEPT),
};

/** What went wrong: `status` (0: no answer), and the problem details that the API told, if it told any. */
export class Refused extends Error {
  constructor(status, problem, retryAfter = 0) {
    super(problem.detail || problem.title || `the gateway answered ${status}`);
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

async function request(path, { method = "GET", body, headers = {}, signal } = {}) {
  const given = { Accept: "application/json", ...headers };
  if (token.get()) given.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) given["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers: given, signal, cache: "no-store", credentials: "omit", body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { title: "The gateway does not answer." });
  }
  if (!answer.ok) throw new Refused(answer.status, await problemOf(answer), Number(answer.headers.get("Retry-After")) || 0);
  return answer;
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return { title: `The gateway answered ${answer.status}.` };
  }
}

/** The answer's JSON, null for an empty one. */
export async function call(path, options) {
  const text = await (await request(path, options)).text();
  return text ? JSON.parse(text) : null;
}

/** All items of a list, page by page. */
export async function all(path) {
  const items = [];
  let from = "";
  do {
    const page = await call(`${path}?limit=500${from && `&continue=${encodeURIComponent(from)}`}`);
    items.push(...page.items);
    from = page.continue ?? "";
  } while (from);
  return items;
}

/**
 * Follow a stream of server-sent events until it ends: `told(event, data)` for each. An EventSource could not send a
 * token. Throws Refused when it is not to be had, or says nothing for `silence` milliseconds (it sends a sign of life).
 */
export async function follow(path, told, { signal, silence = 45_000 }) {
  const stop = new AbortController();
  const abort = () => stop.abort();
  signal.addEventListener("abort", abort);
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(abort, silence);
  };
  try {
    alive();
    const answer = await request(path, { headers: { Accept: "text/event-stream" }, signal: stop.signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) tell(event, told);
    }
  } catch (error) {
    if (error instanceof Refused || signal.aborted) throw error;
    const title = stop.signal.aborted ? "The gateway has gone silent." : "The connection to the gateway broke.";
    throw new Refused(0, { title });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    stop.abort();
  }
}

function tell(event, told) {
  const fields = { event: "message", data: [] };
  for (const line of event.split("\n")) {
    if (line.startsWith("event: ")) fields.event = line.slice(7);
    else if (line.startsWith("data: ")) fields.data.push(line.slice(6));
  }
  if (fields.data.length || fields.event !== "message") told(fields.event, JSON.parse(fields.data.join("\n") || "null"));
}
