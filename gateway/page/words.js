// Times in words, and elements made without markup: whatever comes over the API is text and stays text.

let ahead = 0;

/** Set the clock by the pool's: `iso` is what it says now. This machine's own may be wrong by hours. */
export function setClock(iso) {
  ahead = Date.parse(iso) - Date.now();
}

/** The pool's time in milliseconds. */
export const now = () => Date.now() + ahead;

/** Seconds since a time (negative: until it). */
export const secondsSince = (iso) => (now() - Date.parse(iso)) / 1000;

/** 65 -> "1:05", 3700 -> "1:01:40": what ticks. */
export function clock(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, at) => (at ? String(part).padStart(2, "0") : String(part))).join(":");
}

/** 125 -> "2 min 5 s": how long something took. */
export function length(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return [`${Math.floor(seconds / 60)} min`, seconds % 60 && `${Math.round(seconds % 60)} s`].filter(Boolean).join(" ");
  return [`${Math.floor(seconds / 3600)} h`, Math.floor(seconds / 60) % 60 && `${Math.floor(seconds / 60) % 60} min`].filter(Boolean).join(" ");
}

/** "just now", "4 min ago", "3 h ago", "2 d ago". */
export function ago(iso) {
  const seconds = secondsSince(iso);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

/** A time of day as this machine writes it. */
export const timeOfDay = (iso) => new Date(iso).toLocaleTimeString([], { hour12: false });

/** The whole of a time, for whoever hovers. */
export const fully = (iso) => new Date(iso).toLocaleString();

/** An element with attributes (`class`, `text`, `on...` functions, others as they are) and children. */
export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** One of the shapes that index.html defines. */
export function shape(name = "") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "shape");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.append(use);
  svg.show = (shown) => setAttribute(use, "href", `#shape-${shown}`);
  if (name) svg.show(name);
  return svg;
}

/** Change a text only if it is another one: what does not change is not read out again and keeps its selection. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/** Have a list's items be those of `things`, elements kept: `of(thing)` is an item's key, `update(item, thing)` fills it. */
export function patch(parent, things, of, create, update) {
  const there = new Map([...parent.children].map((item) => [item.dataset.key, item]));
  let next = parent.firstElementChild;
  for (const thing of things) {
    const key = of(thing);
    let item = there.get(key);
    there.delete(key);
    if (!item) {
      item = create(thing);
      item.dataset.key = key;
    }
    if (item === next) next = next.nextElementSibling;
    else parent.insertBefore(item, next);
    update(item, thing);
  }
  for (const gone of there.values()) gone.remove();
}
