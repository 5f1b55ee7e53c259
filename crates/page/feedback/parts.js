// Pieces that several pages are made of.

import { el, quoted, uid } from "./dom.js";
import { knows, percent, t } from "./words.js";

/** What of the request was not taken as it came; nothing for most. */
export function warned(warnings = []) {
  if (warnings.length === 0) return null;
  return el("ul", { class: "plain", "aria-label": t("warning.title") }, warnings.map((one) => el("li", { class: "note" },
    knows(`warning.${one.code}`) ? t(`warning.${one.code}`) : t("warning.other"), quoted(one.detail))));
}

/** A small label. */
export function chip(text, tone = "") {
  return el("span", { class: `chip ${tone}` }, text);
}

/** What only experts want to see: the element is there, and shown in the expert view. */
export function expert(tag, props, ...children) {
  return el(tag, { ...props, class: `expert ${props.class || ""}` }, children);
}

/** A probability as a bar with its figure. */
export function meter(p, label) {
  const bar = el("span", { class: "bar" }, el("span", { class: "fill" }));
  bar.firstChild.style.width = `${Math.max(0, Math.min(1, p)) * 100}%`;
  bar.setAttribute("aria-hidden", "true");
  return el("span", { class: "meter" }, label ? el("span", { class: "meter-label" }, label) : null, bar, el("span", { class: "figure" }, percent(p)));
}

/** An answer of the model, or that it gave none. */
export function answerText(text) {
  return text || t("answer.nothing");
}

/** An answer with its probability, under a heading; where there is none, why. */
export function opinion(title, opinion, tone = "", absent = null) {
  const none = () => el("p", { class: "hint" }, t(`absent.${absent?.reason ?? "not_asked"}`));
  return el("div", { class: `opinion ${tone}` },
    el("h4", {}, title),
    opinion ? [el("p", { class: "said" }, answerText(opinion.answer)), meter(opinion.probability)] : none());
}

/** Texts as chips, each with a button that takes it away; Enter or a comma adds what was typed. `words`: `given` and `remove`. */
export class Chips {
  constructor(words, placeholder) {
    this.words = words;
    this.values = [];
    this.onchange = () => {};
    this.input = el("input", { type: "text", placeholder, autocomplete: "off", id: uid("chips") });
    this.list = el("ul", { class: "chips", "aria-label": words.given });
    this.root = el("div", { class: "chip-input" }, this.list, this.input);
    this.input.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === ",") && this.input.value.trim()) {
        event.preventDefault();
        this.take();
      } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
      } else if (event.key === "Backspace" && this.input.value === "" && this.values.length > 0) {
        this.set(this.values.slice(0, -1));
      }
    });
    this.input.addEventListener("paste", (event) => {
      const lines = event.clipboardData.getData("text").split(/[\n,;\t]/).map((one) => one.trim()).filter(Boolean);
      if (lines.length < 2) return;
      event.preventDefault();
      this.set([...this.values, ...lines]);
    });
    this.input.addEventListener("blur", () => this.take());
    this.root.addEventListener("click", (event) => { if (event.target === this.root || event.target === this.list) this.input.focus(); });
  }

  /** Makes chips of what was typed. */
  take() {
    const typed = this.input.value.split(",").map((one) => one.trim()).filter(Boolean);
    this.input.value = "";
    if (typed.length > 0) this.set([...this.values, ...typed]);
  }

  set(values) {
    this.values = [...new Set(values)];
    this.list.replaceChildren(...this.values.map((value) => el("li", {}, el("span", {}, value),
      el("button", { type: "button", "aria-label": this.words.remove(value), onclick: () => {
        this.set(this.values.filter((one) => one !== value));
        this.input.focus();
      } }, "×"))));
    this.onchange();
  }
}

/** A table from rows of cells; the first row is the head. */
export function table(caption, head, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "hidden-text" }, caption),
      el("thead", {}, el("tr", {}, head.map((text) => (text === null ? el("td", {}) : el("th", { scope: "col" }, text))))),
      el("tbody", {}, rows)));
}

/** A page's heading, which gets the focus when the page is opened. */
export function heading(text, ...beside) {
  return el("div", { class: "heading" }, el("h1", { tabindex: "-1" }, text), beside);
}
