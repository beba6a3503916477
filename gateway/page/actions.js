// What operators do with a cluster: what it will do and to whom is said first, then the API is asked for it.

import { call } from "./api.js";
import { clock, fully, length, make, say, secondsSince, show } from "./words.js";

const find = (id) => document.getElementById(id);
const path = (...parts) => `/api/v1/${parts.map(encodeURIComponent).join("/")}`;
const holder = (cluster) => cluster.assignedSession;

function busy(cluster) {
  if (cluster.removing) return `${cluster.clusterId} is being removed`;
  if (cluster.operation) return `${cluster.operation.kind} is under way`;
  return "";
}

/**
 * Each action: its `word` on the button, `hindered` (why it cannot be done just now, or ""), `title`, `text` (what it
 * will do), the `button` of the dialog, the `request`, and what is said when it is `done`.
 */
export const ACTIONS = {
  extend: {
    word: "Extend",
    hindered: () => "",
    title: (cluster) => `Give ${holder(cluster)} more time?`,
    text: (cluster) => `${holder(cluster)} keeps ${cluster.clusterId} for so many minutes more, up to the most that the pool allows.`,
    button: "Extend",
    minutes: true,
    request: (cluster, minutes) => [path("sessions", holder(cluster)), { method: "PATCH", body: { extendSeconds: minutes * 60 } }],
    done: (cluster, { expiresAt, cut }) => `${holder(cluster)} has until ${fully(expiresAt)}${cut ? ", the most that the pool allows" : ""}.`,
  },
  release: {
    word: "Release",
    hindered: () => "",
    title: (cluster) => `Take ${cluster.clusterId} from ${holder(cluster)}?`,
    text: (cluster) => `${holder(cluster)} loses ${cluster.clusterId} at once, and its session ends. The cluster is reset then: nothing of the session's work is kept.`,
    button: "Release",
    danger: true,
    request: (cluster) => [path("sessions", holder(cluster)), { method: "DELETE", headers: { "If-Match": `"${cluster.epoch}"` } }],
    done: (cluster) => `${cluster.clusterId} was taken back from ${holder(cluster)}.`,
  },
  reset: {
    word: "Reset",
    hindered: (cluster) => busy(cluster) || (cluster.status === "creating" ? `${cluster.clusterId} is not made yet` : ""),
    title: (cluster) => `Reset ${cluster.clusterId}?`,
    text: (cluster) =>
      holder(cluster)
        ? `Both nodes are stopped and go back to their golden snapshots. ${holder(cluster)} keeps ${cluster.clusterId}, clean, and loses all work on it.`
        : `Both nodes are stopped and go back to their golden snapshots. ${cluster.clusterId} can be assigned again once it is proved clean and healthy.`,
    button: "Reset",
    danger: true,
    request: (cluster) => [
      holder(cluster) ? path("sessions", holder(cluster), "reset") : path("admin", "clusters", cluster.clusterId, "reset"),
      { method: "POST" },
    ],
    done: (cluster) => `The reset of ${cluster.clusterId} was started.`,
  },
  rebuild: {
    word: "Rebuild",
    hindered: (cluster) => busy(cluster) || (holder(cluster) ? `${holder(cluster)} holds ${cluster.clusterId}: release it first` : ""),
    title: (cluster) => `Rebuild ${cluster.clusterId}?`,
    text: (cluster) => `Both nodes, their disks and golden snapshots are thrown away, and ${cluster.clusterId} is made anew from the image. That takes as long as its first bootstrap.`,
    button: "Rebuild",
    danger: true,
    request: (cluster) => [path("admin", "clusters", cluster.clusterId, "rebuild"), { method: "POST" }],
    done: (cluster) => `The rebuild of ${cluster.clusterId} was started.`,
  },
  cordon: {
    word: "Cordon",
    hindered: () => "",
    title: (cluster) => `Cordon ${cluster.clusterId}?`,
    text: (cluster) =>
      `${cluster.clusterId} is assigned to nobody, and nothing is started on it, until it is uncordoned.` +
      (holder(cluster) ? ` ${holder(cluster)} keeps it until the session ends.` : ""),
    button: "Cordon",
    request: (cluster) => [path("admin", "clusters", cluster.clusterId, "cordon"), { method: "POST" }],
    done: (cluster) => `${cluster.clusterId} is cordoned.`,
  },
  uncordon: {
    word: "Uncordon",
    hindered: () => "",
    title: (cluster) => `Uncordon ${cluster.clusterId}?`,
    text: (cluster) => `${cluster.clusterId} can be assigned again, and what is due is done on it.`,
    button: "Uncordon",
    request: (cluster) => [path("admin", "clusters", cluster.clusterId, "uncordon"), { method: "POST" }],
    done: (cluster) => `${cluster.clusterId} is uncordoned.`,
  },
};

function facts(cluster) {
  const rows = [["cluster", `${cluster.clusterId}, ${cluster.status}${cluster.cordoned ? ", cordoned" : ""}`]];
  if (holder(cluster)) rows.push(["session", holder(cluster)]);
  if (holder(cluster) && cluster.expiresAt) rows.push(["ends", `${fully(cluster.expiresAt)}, in ${clock(-secondsSince(cluster.expiresAt))}`]);
  if (cluster.lastResetSeconds != null) rows.push(["last reset took", length(cluster.lastResetSeconds)]);
  return rows.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]);
}

/** A problem as people read it: what, the cure, and what to look for in the log. */
export function problemText(error) {
  const problem = error.problem ?? { title: String(error) };
  const lines = [make("b", { text: problem.title || "That did not work." })];
  if (problem.detail && problem.detail !== problem.title) lines.push(make("div", { text: problem.detail }));
  if (problem.cure && !(problem.detail ?? "").includes(problem.cure)) lines.push(make("div", { text: `What helps: ${problem.cure}` }));
  const known = [problem.reason, problem.requestId && `request ${problem.requestId}`].filter(Boolean).join(", ");
  if (known) lines.push(make("div", { class: "small", text: known }));
  return lines;
}

/** Say in a corner what came of something; with the flow run's page, where there is one. */
export function notice(text, run) {
  const words = make("div", { text });
  if (run?.uiUrl && /^https?:/.test(run.uiUrl)) {
    words.append(" ", make("a", { href: run.uiUrl, target: "_blank", rel: "noopener noreferrer", text: run.name ? `Flow run ${run.name}` : "Flow run" }));
  }
  const box = make("div", { class: "notice" }, words, make("button", { type: "button", class: "plain", text: "Close", onclick: () => box.remove() }));
  find("notices").append(box);
  setTimeout(() => box.matches(":hover, :focus-within") || box.remove(), 20_000);
}

let asked = null;

/** Ask whether `name` is to be done with the cluster, as it is shown, and do it. */
export function ask(name, cluster) {
  const action = ACTIONS[name];
  asked = { action, cluster, key: crypto.randomUUID() };
  say(find("confirm-title"), action.title(cluster));
  say(find("confirm-text"), action.text(cluster));
  find("confirm-facts").replaceChildren(...facts(cluster));
  show(find("confirm-minutes"), Boolean(action.minutes));
  find("confirm-minutes").querySelector("input").disabled = !action.minutes;
  show(find("confirm-problem"), false);
  const yes = find("confirm-yes");
  yes.textContent = action.button;
  yes.className = action.danger ? "danger" : "strong";
  yes.disabled = false;
  find("confirm").showModal();
  // Who presses Enter out of habit destroys nothing.
  (action.danger ? find("confirm-no") : action.minutes ? find("confirm-minutes").querySelector("input") : yes).focus();
}

async function confirmed() {
  const { action, cluster, key } = asked;
  const minutes = find("confirm-minutes").querySelector("input").valueAsNumber;
  const [to, options] = action.request(cluster, minutes);
  const yes = find("confirm-yes");
  yes.disabled = true;
  try {
    // The same key however often it is tried: what was done already is not done again.
    const answer = await call(to, { ...options, headers: { ...options.headers, "Idempotency-Key": key } });
    find("confirm").close();
    notice(action.done(cluster, answer), answer);
  } catch (error) {
    find("confirm-problem").replaceChildren(...problemText(error));
    show(find("confirm-problem"), true);
    yes.textContent = "Try again";
  } finally {
    yes.disabled = false;
  }
}

find("confirm-no").addEventListener("click", () => find("confirm").close());
find("confirm").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!find("confirm-yes").disabled) confirmed();
});
