// What is shown of a pool: counts, rows, queue, last events; and what is said of it.

import { Row } from "./rows.js";
import { clock, fully, make, patch, say, secondsSince, setAttribute, shape, show, timeOfDay } from "./words.js";

const PHASES = ["available", "locked", "resetting", "creating", "error"];
const SAID_EVERY = 2_000;

const find = (id) => document.getElementById(id);
const phases = new Map();
let phaseShown = "";

/** Show nothing: another pool is to come, or nobody may see it. */
export function clear(why = "Waiting for the first look at the pool…") {
  phases.clear();
  for (const list of ["rows", "queue", "events"]) find(list).replaceChildren();
  show(find("content"), false);
  show(find("loading"), true);
  say(find("loading"), why);
}

/** Show a pool as its stream tells it. */
export function draw(pool) {
  document.title = `${pool.pool} · cks-pool`;
  show(find("loading"), false);
  show(find("content"), true);
  counts(pool);
  patch(find("rows"), pool.clusters, (one) => one.clusterId, () => new Row().element, (element, one) => element.row.update(one));
  show(find("find"), pool.clusters.length > 8 || phaseShown !== "" || find("find").value !== "");
  filter();
  queue(pool.queue);
  events(pool.events);
  announce(pool.clusters);
}

const tiles = new Map();

function tile(phase) {
  const number = make("span", { class: "number", text: "0" });
  const inside = [shape(phase), number, make("span", { class: "word", text: phase })];
  const part = make("span", { "data-phase": phase });
  const box = phase === "waiting" ? make("div", { class: "tile" }, ...inside) : filtering(phase, inside);
  if (phase !== "waiting") find("bar").append(part);
  find("counts").append(make("li", { "data-phase": phase }, box));
  return { box, number, part };
}

function filtering(phase, inside) {
  const pressed = () => {
    phaseShown = phaseShown === phase ? "" : phase;
    filter();
  };
  return make("button", { type: "button", "aria-pressed": "false", title: `Show only those that are ${phase}`, onclick: pressed }, ...inside);
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
    const fits = (!phaseShown || status === phaseShown) && [clusterId, assignedSession ?? ""].some((text) => text.toLowerCase().includes(wanted));
    show(element, fits);
    shown += fits;
  }
  for (const [phase, { box }] of tiles) if (phase !== "waiting") setAttribute(box, "aria-pressed", String(phaseShown === phase));
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
    if (phases.has(clusterId) && phases.get(clusterId) !== status) changes.set(clusterId, status);
    phases.set(clusterId, status);
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
