// The words of the page: one catalogue per language (`words-xx.json`), and numbers and times as the reader writes them.
// What is shown is looked up when it is shown, so that the language can be changed without losing what was typed.

const KEPT = "reasonedit.language";

/** The languages that there are catalogues of. */
export const LANGUAGES = ["de", "en", "fr"];

/** How numbers and dates are written where the browser names no country. */
const PLAIN = { de: "de-DE", en: "en-GB", fr: "fr-FR" };

const catalogues = new Map();
let language = null;
let locale = null;
let formats = new Map();

/** The person's own choice on this page; `""` if there is none. */
export function ownLanguage() {
  return LANGUAGES.includes(localStorage.getItem(KEPT)) ? localStorage.getItem(KEPT) : "";
}

/** What the person chose, else what the service is set to, else the first of the browser's that there are words for. */
function wanted() {
  const set = document.documentElement.dataset.language;
  const browsers = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return ownLanguage() || (LANGUAGES.includes(set) ? set : browsers.find((tag) => LANGUAGES.includes(tag)) || "en");
}

async function use(next) {
  if (!catalogues.has(next)) {
    const response = await fetch(new URL(`words-${next}.json`, import.meta.url));
    if (!response.ok) throw new Error(String(response.status));
    catalogues.set(next, await response.json());
  }
  language = next;
  // Vienna's months and Lausanne's numbers: the country is the browser's where the language is.
  locale = navigator.languages.find((tag) => tag.length > 2 && tag.toLowerCase().startsWith(`${next}-`)) || PLAIN[next];
  formats = new Map();
  document.documentElement.lang = next;
}

/** Changes over to a language, and keeps the choice; `""` follows the service and the browser again. */
export async function chooseLanguage(next) {
  if (next === "") localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, next);
  await use(wanted());
  retell(document);
  document.dispatchEvent(new Event("language"));
}

/** What a language calls itself. */
export function nameOf(code) {
  const name = new Intl.DisplayNames([code], { type: "language" }).of(code);
  return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
}

/** A formatter of `Intl` for the language in use. */
function format(kind, options) {
  const key = `${kind} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl[kind](locale, options));
  return formats.get(key);
}

/** A text that is looked up when it is shown, and again in another language. Whatever makes a string of it gets today's. */
export class Words {
  constructor(make) {
    this.make = make;
  }

  toString() {
    return this.make();
  }
}

/** Whether there is a message of that key. */
export function knows(key) {
  return Object.hasOwn(catalogues.get(language), key);
}

function message(key, params) {
  const found = catalogues.get(language)[key];
  if (found === undefined) throw new Error(`no words for ${key}`);
  return typeof found === "string" ? found : found[format("PluralRules", {}).select(params.n)] ?? found.other;
}

function plain(value) {
  return typeof value === "number" ? format("NumberFormat", {}).format(value) : String(value);
}

/** The message of a key. `{name}` stands for a parameter; `n` decides between the forms of a plural. */
export function t(key, params = {}) {
  return new Words(() => message(key, params).replace(/\{(\w+)\}/g, (_, name) => plain(params[name])));
}

/** A message with elements in it: `rich("edits.none", { link: el("a", …) })`. */
export function rich(key, params) {
  const root = document.createElement("span");
  root.retell = () => root.replaceChildren(...message(key, params).split(/(\{\w+\})/).filter(Boolean).map((part) => {
    const name = part.match(/^\{(\w+)\}$/)?.[1];
    if (name === undefined) return part;
    return params[name] instanceof Node ? params[name] : plain(params[name]);
  }));
  root.retell();
  return root;
}

/** "a, b and c". */
export function listed(texts) {
  return new Words(() => format("ListFormat", { type: "conjunction" }).format(texts.map(String)));
}

/** Says everything below a node again, in the language of now. */
export function retell(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = root; node !== null; node = walker.nextNode()) node.retell?.();
}

let titled = null;

/** The title of the tab: of what is shown, and the program's name. */
export function entitle(words) {
  titled = words;
  document.title = `${words} · ReasonEdit`;
}

document.addEventListener("language", () => { if (titled !== null) entitle(titled); });

const NONE = "–";

/** A figure to as many digits as mean something. */
export function number(value, digits = 3) {
  if (value === null || value === undefined) return NONE;
  const tiny = value !== 0 && Math.abs(value) < 0.001;
  return new Words(() => format("NumberFormat", tiny ? { notation: "scientific", maximumSignificantDigits: 2 } : { maximumSignificantDigits: digits }).format(value));
}

/** A probability as a share of a hundred. Never "100 %" for what is not certain. */
export function percent(p) {
  if (p === null || p === undefined) return NONE;
  const share = (value, digits) => format("NumberFormat", { style: "percent", maximumFractionDigits: digits }).format(value);
  return new Words(() => {
    if (p > 0.9995 && p < 1) return `> ${share(0.999, 1)}`;
    if (p < 0.0005 && p > 0) return `< ${share(0.001, 1)}`;
    return share(p, p > 0.1 && p < 0.9 ? 0 : 1);
  });
}

/** A count with separators. */
export function count(value) {
  return new Words(() => format("NumberFormat", {}).format(value));
}

function measure(value, unit, options) {
  return new Words(() => format("NumberFormat", { style: "unit", unit, unitDisplay: "short", ...options }).format(value));
}

/** Bytes for people. */
export function bytes(size) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const at = Math.min(units.length - 1, size < 1 ? 0 : Math.floor(Math.log10(size) / 3));
  return measure(size / 1000 ** at, units[at], { maximumSignificantDigits: 3 });
}

/** A duration for people, of milliseconds. */
export function duration(ms) {
  if (ms < 1000) return measure(Math.max(1, Math.round(ms)), "millisecond", {});
  if (ms < 60_000) return measure(ms / 1000, "second", { maximumFractionDigits: 1 });
  const minutes = Math.round(ms / 60_000);
  return minutes < 90 ? measure(minutes, "minute", {}) : measure(Math.round(minutes / 60), "hour", {});
}

/** A time for people, as text. */
export function moment(text) {
  return new Words(() => format("DateTimeFormat", { dateStyle: "medium", timeStyle: "short" }).format(new Date(text)));
}

await use(wanted());
