// The pool at a glance, live: follows one pool's stream and patches what is shown.

import { all, call, follow, Refused, token } from "./api.js";
import { problemText } from "./actions.js";
import { clear, draw } from "./drawing.js";
import { patch, say, setAttribute, setClock, show, timeOfDay } from "./words.js";

const RETRY = 1_000;
const RETRY_MAX = 20_000;
const HIDDEN = 30_000;

const find = (id) => document.getElementById(id);
const state = { pool: new URLSearchParams(location.search).get("pool") ?? "", seen: null, away: 0 };
let attempt = null;

// ---- Following

async function run() {
  for (let delay = RETRY; ; ) {
    await looked();
    attempt = new AbortController();
    try {
      await greet();
      await follow(`/api/v1/pools/${encodeURIComponent(state.pool)}/events`, told, attempt);
      // It said that it stops: another one answers.
      delay = RETRY;
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        show(find("outage"), false);
        await askForToken(error);
        delay = RETRY;
        continue;
      }
      const wrong = error.status === 404 || error.status === 422 ? await look().catch((other) => other) : error;
      if (wrong && !attempt.signal.aborted) away(wrong);
      if (error.retryAfter) delay = Math.max(delay, error.retryAfter * 1000);
    }
    if (attempt.signal.aborted) delay = RETRY;
    else {
      await pause(delay * (0.75 + Math.random() / 2));
      delay = state.live ? RETRY : Math.min(delay * 2, RETRY_MAX);
    }
    state.live = false;
  }
}

async function greet() {
  const me = await call("/api/v1/me", { signal: attempt.signal });
  state.pool ||= me.pool ?? "default";
  setAttribute(document.body, "data-operator", String(me.role === "operator"));
  say(find("me"), `${me.name}, ${me.role}`);
  show(find("forget"), Boolean(token.get()));
  show(find("looks"), me.role !== "operator");
  say(find("looks"), `You look as ${me.role}. Resetting, rebuilding, cordoning, extending and releasing take an operator's token.`);
}

/** Another pool than the one that is not there (any more). */
async function look() {
  const pools = (await all("/api/v1/pools")).map((pool) => pool.name);
  if (!pools.length) throw new Refused(404, { title: "There is no pool yet.", detail: "The flow bootstrap-pool makes one." });
  choose(pools.includes("default") ? "default" : pools[0]);
}

function choose(pool) {
  state.pool = pool;
  state.seen = null;
  history.replaceState(null, "", `?pool=${encodeURIComponent(pool)}`);
  clear();
}

function chooser(pools) {
  const choice = find("pool");
  patch(choice, pools, (name) => name, () => document.createElement("option"), (option, name) => {
    say(option, name);
    option.value = name;
  });
  if (choice.value !== state.pool) choice.value = state.pool;
  show(choice, pools.length > 1);
  show(find("only-pool"), pools.length <= 1);
  say(find("only-pool"), state.pool);
}

function told(event, data) {
  if (event === "clock") setClock(data.now);
  if (event === "pool") {
    state.live = true;
    state.seen = data;
    chooser(data.pools);
    draw(data);
    if (data.outageSince) outage("The Kubernetes API of the host does not answer.", "What is shown is the last that was seen.", data.outageSince);
    else live();
  }
}

function live() {
  state.away = 0;
  state.awayAs = "";
  show(find("outage"), false);
  setAttribute(find("main"), "data-stale", "false");
  lamp("live", "live");
}

function away(error) {
  const shown = state.seen ? "What is shown is the last that was seen." : "";
  const detail = error.status ? error.problem.detail : "";
  outage(error.problem?.title ?? String(error), [detail, shown].filter(Boolean).join(" "));
}

function outage(title, detail, since) {
  state.away ||= since ? Date.parse(since) : Date.now();
  // Said once for each thing that is wrong, not at each try.
  if (state.awayAs !== title) {
    state.awayAs = title;
    say(find("outage-title"), title);
    say(find("outage-detail"), `Since ${timeOfDay(state.away)}. ${detail}`);
  }
  show(find("outage"), true);
  setAttribute(find("main"), "data-stale", "true");
  lamp("away", "not live");
  if (!state.seen) say(find("loading"), "Nothing was seen of the pool yet.");
}

function lamp(now, word) {
  setAttribute(find("live"), "data-state", now);
  say(find("live-word"), word);
}

let wake = () => {};

function pause(milliseconds) {
  const until = Date.now() + milliseconds;
  return new Promise((resolve) => {
    const counting = setInterval(() => {
      say(find("retry"), `Try now (${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s)`);
      if (Date.now() >= until) wake();
    }, 200);
    wake = () => {
      clearInterval(counting);
      say(find("retry"), "Try now");
      resolve();
    };
  });
}

find("retry").addEventListener("click", () => {
  wake();
  if (state.seen?.outageSince) attempt.abort();
});

find("pool").addEventListener("change", () => {
  choose(find("pool").value);
  wake();
  attempt.abort();
});

// ---- A tab that nobody looks at follows nothing: browsers have six connections for all tabs of a server.

const unseen = () => document.visibilityState === "hidden";

function looked() {
  if (!unseen()) return undefined;
  lamp("connecting", "resting");
  return new Promise((resolve) => document.addEventListener("visibilitychange", () => unseen() || resolve()));
}

let hiding;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (unseen()) hiding = setTimeout(() => attempt.abort(), HIDDEN);
});

// ---- The token

let given = () => {};

function askForToken(error) {
  const had = Boolean(token.get());
  if (error.status === 401) {
    token.forget();
    say(find("ask-text"), had ? "That token is not known here (any more)." : "This gateway wants a token.");
  } else {
    find("ask-text").replaceChildren(...problemText(error));
  }
  hideAll();
  lamp("away", "not let in");
  find("token").value = "";
  if (!find("ask").open) find("ask").showModal();
  find("token").focus();
  return new Promise((resolve) => (given = resolve));
}

function hideAll() {
  state.seen = null;
  clear();
  show(find("forget"), Boolean(token.get()));
  say(find("me"), "");
}

find("ask").addEventListener("cancel", (event) => event.preventDefault());
find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token.keep(find("token").value.trim());
  find("token").value = "";
  find("ask").close();
  given();
});
find("forget").addEventListener("click", () => {
  token.forget();
  hideAll();
  wake();
  attempt.abort();
});

run();
