// Building blocks of the page. Text from anywhere goes in as text; the page's policy forbids what would make it markup.

import { Words, duration, knows, moment, t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/** What stands in an element: words become text that can be said again in another language. */
function pieces(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Words ? spoken(child) : child));
}

function spoken(words) {
  const node = document.createTextNode(String(words));
  node.retell = () => { node.data = String(words); };
  return node;
}

/** Sets an attribute; words are said again in another language. */
export function tell(node, name, value) {
  node.setAttribute(name, value === true ? "" : value);
  node.told?.delete(name);
  if (!(value instanceof Words)) return;
  node.told ||= new Map();
  node.told.set(name, value);
  node.retell = () => node.told.forEach((words, one) => node.setAttribute(one, words));
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") node[name] = value;
    else tell(node, name, value);
  }
  node.append(...pieces(children));
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
  node.replaceChildren(...pieces(children));
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

/** A time for people. */
export function when(text) {
  if (!text) return el("span", {}, t("time.never"));
  return el("time", { datetime: text, title: text }, moment(text));
}

/** Tells people with a screen reader; `urgent` interrupts. */
export function announce(text, urgent = false) {
  const region = document.getElementById(urgent ? "assertive" : "polite");
  const said = String(text);
  // The same words twice in a row are no change, and would not be read again.
  region.textContent = region.textContent === said ? `${said}\u00a0` : said;
}

/** What went wrong in the page's own words, and below what the service says of it. */
export function trouble(error) {
  const said = error.words || t(knows(`problem.${error.type}`) ? `problem.${error.type}` : "problem.unknown");
  const lines = (error.errors || []).map((one) => el("li", {}, one.pointer ? el("code", {}, one.pointer) : null, ` ${one.detail}`));
  announce(`${said} ${error.detail || ""}`, true);
  return el("div", { class: "trouble" },
    el("p", {}, el("strong", {}, said), error.wait ? [" ", t("problem.wait", { time: duration(error.wait * 1000) })] : null),
    error.detail ? quoted(error.detail) : null,
    lines.length > 1 ? el("ul", { lang: "en" }, lines) : null,
    error.request ? el("p", { class: "hint" }, t("problem.request", { id: error.request })) : null);
}

/** What the service says, which it says in English. */
export function quoted(text) {
  return el("p", { class: "quoted" }, t("service.says"), " ", el("span", { lang: "en" }, text));
}
