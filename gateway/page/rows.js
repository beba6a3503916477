// The table: a row a cluster, changed in place, so that focus and selection stay where they are.

import { ACTIONS, ask } from "./actions.js";
import { ago, clock, fully, length, make, say, secondsSince, setAttribute, shape, show } from "./words.js";

const SOON = 600;

const button = (name, row) =>
  make("button", {
    type: "button",
    "data-action": name,
    onclick: (event) => {
      // A button that cannot be used stays where it is for the keyboard, and says why.
      if (event.currentTarget.getAttribute("aria-disabled") !== "true") ask(event.currentTarget.dataset.action, row.cluster);
    },
  });

const cell = (label, more, ...children) => make("td", { role: "cell", "data-label": label, class: more }, make("div", { class: "cell" }, ...children));

/** One cluster's row. `update` takes what is told of it, `tick` lets time pass. */
export class Row {
  constructor() {
    this.name = make("span", { class: "title name" });
    this.place = make("small");
    this.cordoned = make("span", { class: "mark", text: "cordoned" });
    this.removing = make("span", { class: "mark bad", text: "being removed" });
    this.shape = shape();
    this.phase = make("span");
    this.since = make("small");
    this.session = make("span", { class: "name" });
    this.left = make("span", { class: "numbers" });
    this.leftBar = make("progress", { max: "1", "aria-label": "Part of the session's time that is over" });
    this.extend = button("extend", this);
    this.release = button("release", this);
    this.held = make("div", { class: "acts operators" }, this.extend, this.release);
    this.doing = make("span", { class: "numbers" });
    this.doingBar = make("progress", { max: "1", "aria-label": "How far, by how long the last reset took" });
    this.expected = make("small");
    this.fault = make("span", { class: "fault" });
    this.words = make("span", { class: "words small" });
    this.reset = make("span", { class: "numbers" });
    this.took = make("small");
    this.health = make("span", { class: "health" });
    this.looked = make("small");
    this.buttons = { reset: button("reset", this), rebuild: button("rebuild", this), cordon: button("cordon", this) };
    this.sessionCell = cell("Session", "session wide", this.session, this.left, this.leftBar, this.held);
    this.doingCell = cell("Being done", "doing wide", this.doing, this.doingBar, this.fault, this.words, this.expected);
    this.healthCell = cell("Health", "", this.health, this.looked);
    this.element = make(
      "tr",
      { role: "row" },
      make("th", { role: "rowheader", scope: "row" }, make("div", {}, this.name, make("div", {}, this.place), this.cordoned, this.removing)),
      make("td", { role: "cell" }, make("span", { class: "phase" }, this.shape, this.phase)),
      this.sessionCell,
      this.doingCell,
      cell("Last reset", "", this.reset, this.took),
      this.healthCell,
      make("td", { role: "cell", class: "operators wide" }, make("div", { class: "acts" }, ...Object.values(this.buttons))),
    );
    this.element.row = this;
  }

  update(cluster) {
    const before = this.cluster;
    this.cluster = cluster;
    setAttribute(this.element, "data-phase", cluster.status);
    say(this.name, cluster.clusterId);
    say(this.place, cluster.namespace === cluster.clusterId ? "" : `in ${cluster.namespace}`);
    show(this.cordoned, cluster.cordoned);
    show(this.removing, cluster.removing);
    this.shape.show(cluster.status);
    say(this.phase, cluster.status);
    say(this.session, cluster.assignedSession ?? "–");
    show(this.held, Boolean(cluster.assignedSession));
    this.sessionCell.classList.toggle("away", !cluster.assignedSession);
    this.updateWork(cluster);
    this.updateHealth(cluster);
    this.updateButtons(cluster);
    if (before && before.status !== cluster.status) this.flash();
    this.tick();
  }

  updateWork({ failure, operation, status, cordoned }) {
    show(this.fault, Boolean(failure));
    show(this.words, Boolean(failure));
    if (failure) {
      say(this.fault, failure.reason);
      say(this.words, failure.message);
    }
    this.doingCell.classList.toggle("away", !failure && !operation && status !== "resetting");
    this.idle = status === "resetting" ? (cordoned ? "waits: it is cordoned" : "waits for its reset") : failure ? "" : "–";
  }

  updateHealth({ healthy, healthMessage, lastHealthCheck }) {
    setAttribute(this.health, "data-healthy", String(healthy));
    say(this.health, healthy ? "✓ healthy" : healthy === false ? "✗ unhealthy" : "– not known");
    setAttribute(this.health, "title", healthMessage || "not looked at yet");
    this.looked.title = lastHealthCheck ? fully(lastHealthCheck) : "";
  }

  updateButtons(cluster) {
    const cordon = this.buttons.cordon;
    cordon.dataset.action = cluster.cordoned ? "uncordon" : "cordon";
    for (const one of [this.extend, this.release, ...Object.values(this.buttons)]) {
      const { word, hindered } = ACTIONS[one.dataset.action];
      const why = hindered(cluster);
      const about = one === this.extend || one === this.release ? cluster.assignedSession : cluster.clusterId;
      say(one, word);
      setAttribute(one, "aria-label", `${word} ${about ?? ""}${why ? `: not now, ${why}` : ""}`);
      setAttribute(one, "aria-disabled", String(Boolean(why)));
      setAttribute(one, "title", why);
    }
  }

  tick() {
    const { cluster } = this;
    this.tickSession(cluster);
    this.tickWork(cluster);
    say(this.reset, cluster.lastReset ? ago(cluster.lastReset) : "never");
    this.reset.title = cluster.lastReset ? fully(cluster.lastReset) : "";
    say(this.took, cluster.lastResetSeconds != null ? `took ${length(cluster.lastResetSeconds)}` : "");
    say(this.looked, cluster.lastHealthCheck ? `looked at ${ago(cluster.lastHealthCheck)}` : "");
  }

  tickSession({ assignedSession, expiresAt, lockTime }) {
    const timed = Boolean(assignedSession && expiresAt);
    show(this.left, timed);
    show(this.leftBar, timed && Boolean(lockTime));
    if (!timed) return;
    const left = -secondsSince(expiresAt);
    say(this.left, left > 0 ? `${clock(left)} left` : "time is over");
    this.left.className = `numbers ${left <= 0 ? "over" : left < SOON ? "soon" : ""}`;
    this.left.title = `until ${fully(expiresAt)}`;
    if (lockTime) this.leftBar.value = Math.min(1, secondsSince(lockTime) / ((Date.parse(expiresAt) - Date.parse(lockTime)) / 1000));
  }

  tickWork({ operation, lastResetSeconds, failure }) {
    const seconds = operation ? secondsSince(operation.startedAt) : 0;
    say(this.doing, operation ? `${operation.kind}, for ${clock(seconds)}${operation.attempt > 1 ? `, attempt ${operation.attempt}` : ""}` : this.idle);
    show(this.doing, this.doing.textContent !== "");
    const usual = operation?.kind === "reset" ? lastResetSeconds : null;
    show(this.doingBar, usual > 0);
    if (usual > 0) this.doingBar.value = Math.min(1, seconds / usual);
    if (usual > 0) say(this.expected, seconds < usual ? `about ${clock(usual - seconds)} to go` : `the last one took ${length(usual)}`);
    else say(this.expected, failure && !operation ? `${failure.attempts} ${failure.attempts === 1 ? "attempt" : "attempts"}, the first ${ago(failure.since)}` : "");
  }

  flash() {
    this.element.classList.remove("changed");
    requestAnimationFrame(() => this.element.classList.add("changed"));
  }
}
