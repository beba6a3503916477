// The pool at a glance, live: follows one pool's stream and patches what is shown.

import { all, call, follow, Refused, token } from "./api.js";
import { problemText } from "./actions.js";
import { Row } from "./rows.js";
import { clock, fully, make, patch, say, secondsSince, setAttribute, setClock, shape, show, timeOfDay } from "./words.js";

const PHASES = ["available", "locked", "resetting", "creating", "error"];
const RETRY = 1_000;
const RETRY_MAX = 20_000;
const SAID_EVERY = 2_000;

const find = (id) => document.getElementById(id);
const state = { pool: new URLSearchParams(location.search).get("pool") ?? "", me: null, seen: null, phases: new Map(), filter: "", away: 0 };
let attempt = null;

// ---- Following

async function run() {
  for (let delay = RETRY; ; ) {
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
      if (error.status === 404) error = await look().catch((other) => other);
      if (!error) continue;
      if (!attempt.signal.aborted) away(error);
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
  state.me = me;
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
  state.phases.clear();
  history.replaceState(null, "", `?pool=${encodeURIComponent(pool)}`);
  show(find("content"), false);
  show(find("loading"), true);
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
  state.phases.clear();
  for (const list of ["rows", "queue", "events"]) find(list).replaceChildren();
  show(find("content"), false);
  show(find("loading"), true);
  show(find("forget"), Boolean(token.get()));
  say(find("me"), "");
  say(find("loading"), "Waiting for the first look at the pool…");
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

// ---- Drawing

function draw(pool) {
  document.title = `${pool.pool} · cks-pool`;
  show(find("loading"), false);
  show(find("content"), true);
  chooser(pool.pools);
  counts(pool);
  patch(find("rows"), pool.clusters, (one) => one.clusterId, () => new Row().element, (element, one) => element.row.update(one));
  show(find("find"), pool.clusters.length > 8 || state.filter !== "" || find("find").value !== "");
  filter();
  queue(pool.queue);
  events(pool.events);
  announce(pool.clusters);
}

const tiles = new Map();

function tile(phase) {
  const number = make("span", { class: "number", text: "0" });
  const inside = [shape(phase), number, make("span", { class: "word", text: phase })];
  const box = phase === "waiting" ? make("div", { class: "tile" }, ...inside) : make("button", { type: "button", "aria-pressed": "false", title: `Show only those that are ${phase}` }, ...inside);
  box.addEventListener("click", () => {
    if (phase === "waiting") return;
    state.filter = state.filter === phase ? "" : phase;
    filter();
  });
  const part = make("span", { "data-phase": phase });
  if (phase !== "waiting") find("bar").append(part);
  find("counts").append(make("li", { "data-phase": phase }, box));
  return { box, number, part };
}

for (const phase of [...PHASES, "waiting"]) tiles.set(phase, tile(phase));

function counts({ clusters, queue: waiting }) {
  for (const [phase, { box, number, part }] of tiles) {
    const count = phase === "waiting" ? waiting.length : clusters.filter((one) => one.status === phase).length;
    say(number, String(count));
    setAttribute(box, "data-none", String(count === 0));
    part.style.setProperty("--part", String(count));
  }
}

function filter() {
  const wanted = find("find").value.trim().toLowerCase();
  let shown = 0;
  for (const element of find("rows").children) {
    const { clusterId, assignedSession, status } = element.row.cluster;
    const fits = (!state.filter || status === state.filter) && [clusterId, assignedSession ?? ""].some((text) => text.toLowerCase().includes(wanted));
    show(element, fits);
    shown += fits;
  }
  for (const [phase, { box }] of tiles) if (phase !== "waiting") setAttribute(box, "aria-pressed", String(state.filter === phase));
  const total = find("rows").children.length;
  say(find("shown"), shown === total ? `${total}` : `${shown} of ${total}`);
  show(find("no-clusters"), shown === 0);
  say(find("no-clusters"), total ? "No cluster is like that." : "The pool has no clusters yet. The flow bootstrap-pool makes them.");
}

find("find").addEventListener("input", filter);

function queue(waiting) {
  patch(
    find("queue"),
    waiting,
    (one) => one.sessionId,
    () => make("li", {}, make("span", { class: "place" }), make("span", { class: "name" }), make("span", { class: "quiet numbers" })),
    (item, one) => {
      item.since = one.since;
      say(item.children[0], String(one.place));
      say(item.children[1], one.sessionId + (one.priority ? ` (priority ${one.priority})` : ""));
      waited(item);
    },
  );
  show(find("no-queue"), !waiting.length);
  say(find("queue-count"), waiting.length ? `${waiting.length} waiting` : "");
}

function waited(item) {
  say(item.children[2], item.since ? `for ${clock(secondsSince(item.since))}` : "");
}

function events(last) {
  patch(
    find("events"),
    last,
    (one) => `${one.at} ${one.cluster} ${one.message}`,
    (one) => make(
      "li",
      { "data-warning": String(one.warning) },
      make("time", { datetime: one.at, title: fully(one.at), text: timeOfDay(one.at) }),
      make("span", { class: "name", text: one.cluster }),
      make("span", { class: "message", text: one.message }),
    ),
    () => {},
  );
  show(find("no-events"), !last.length);
}

// ---- What a screen reader is told: changes of phase, a few at a time; what ticks is not read out.

const changes = new Map();
let saying = null;

function announce(clusters) {
  for (const { clusterId, status } of clusters) {
    if (state.phases.has(clusterId) && state.phases.get(clusterId) !== status) changes.set(clusterId, status);
    state.phases.set(clusterId, status);
  }
  if (changes.size && !saying) saying = setTimeout(announced, SAID_EVERY);
}

function announced() {
  const words = [...changes].map(([cluster, phase]) => `${cluster} is ${phase}`);
  say(find("said"), words.length > 5 ? `${words.length} clusters changed` : words.join(", "));
  changes.clear();
  saying = null;
}

function tick() {
  for (const element of find("rows").children) if (!element.hidden) element.row.tick();
  for (const item of find("queue").children) waited(item);
}

setInterval(tick, 1000);
run();
