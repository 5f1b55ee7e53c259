// Building blocks of the page. Text from anywhere goes in as text; the page's policy forbids what would make it markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element: `el("p", {class: "note", onclick: f}, "text", child)`. */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Replaces what is in a node; what is nothing is left out. */
export function put(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A button. */
export function button(label, onclick, props = {}) {
  return el("button", { type: "button", onclick, ...props }, label);
}

let ids = 0;

/** An id of its own for an element, so that a label or a description can name it. */
export function uid(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** A label above its control, with a hint below; `control` gets the ids. */
export function field(label, control, hint) {
  control.id ||= uid("field");
  const children = [el("label", { for: control.id }, label), control];
  if (hint) {
    const id = uid("hint");
    control.setAttribute("aria-describedby", id);
    children.push(el("p", { class: "hint", id }, hint));
  }
  return el("div", { class: "field" }, children);
}

/** A term and what it stands for, for a `dl`. */
export function pair(term, ...values) {
  return el("div", {}, el("dt", {}, term), el("dd", {}, values));
}

const WHEN = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** A time for people. */
export function when(text) {
  if (!text) return el("span", {}, "never");
  return el("time", { datetime: text, title: text }, WHEN.format(new Date(text)));
}

/** A probability or a distance, to three digits that mean something. */
export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return Number(value.toPrecision(digits)).toString();
}

/** A probability as a share of a hundred. Never "100 %" for what is not certain. */
export function percent(p) {
  if (p === null || p === undefined) return "–";
  if (p > 0.9995 && p < 1) return "> 99.9 %";
  if (p < 0.0005 && p > 0) return "< 0.1 %";
  return `${Number((p * 100).toFixed(p > 0.1 && p < 0.9 ? 0 : 1))} %`;
}

/** Bytes for people. */
export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    at += 1;
  }
  return `${at === 0 ? count : count.toPrecision(3)} ${units[at]}`;
}

/** A count with separators. */
export function count(value) {
  return value.toLocaleString("en-GB");
}

/** "1 edit", "3 edits". */
export function several(many, one, more = `${one}s`) {
  return `${count(many)} ${many === 1 ? one : more}`;
}

/** A duration for people. */
export function duration(ms) {
  if (ms < 1000) return `${Math.max(1, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.round(ms / 60_000);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

/** Tells people with a screen reader; `urgent` interrupts. */
export function announce(text, urgent = false) {
  const region = document.getElementById(urgent ? "assertive" : "polite");
  // The same words twice in a row are no change, and would not be read again.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

/** Begins with a capital and ends with a stop. */
function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}

/** A message about what went wrong, with what the service says of each field. */
export function trouble(error) {
  const lines = (error.errors || []).map((one) => el("li", {}, one.pointer ? el("code", {}, one.pointer) : null, ` ${one.detail}`));
  announce(error.message, true);
  return el("div", { class: "trouble" },
    el("p", {}, el("strong", {}, error.title || "That did not work. "), " ", sentence(error.message)),
    lines.length > 1 ? el("ul", {}, lines) : null,
    error.request ? el("p", { class: "hint" }, `Request ${error.request}`) : null);
}
