// All edits, newest first, and finding some of them.

import { announce, button, el, field, percent, put, several, trouble, when } from "./dom.js";
import { get } from "./api.js";
import { stored } from "./picture.js";
import { chip, heading } from "./parts.js";

/** The list; what is looked for stands in the address. */
export function showEdits(root, params, signal) {
  document.title = "Edits · ReasonEdit";
  const inputs = {
    q: el("input", { type: "search", value: params.get("q") || "", placeholder: "in question, answer and reasoning" }),
    author: el("input", { type: "text", value: params.get("author") || "", autocomplete: "off" }),
    tag: el("input", { type: "text", value: params.get("tag") || "", autocomplete: "off" }),
  };
  const form = el("form", { class: "card search", role: "search", "aria-label": "Edits" },
    field("Search", inputs.q), field("Author", inputs.author), field("Tag", inputs.tag),
    el("div", { class: "row" }, el("button", { type: "submit", class: "primary" }, "Search"),
      params.size > 0 ? el("a", { class: "button quiet", href: "#/edits" }, "All edits") : null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = new URLSearchParams();
    for (const [name, input] of Object.entries(inputs)) if (input.value.trim()) wanted.set(name, input.value.trim());
    location.hash = wanted.size > 0 ? `#/edits?${wanted}` : "#/edits";
  });
  const list = el("ul", { class: "edit-list" });
  const state = el("p", { class: "hint" }, "Looking…");
  const more = el("div", { class: "row" });
  put(root, heading("Edits"), form, state, list, more);

  const load = async (cursor) => {
    put(more);
    try {
      const page = await get("/edits", { limit: 20, cursor, q: params.get("q"), author: params.get("author"), tag: params.get("tag") }, { signal });
      const first = list.childElementCount;
      list.append(...page.edits.map(item));
      const shown = list.childElementCount;
      put(state, shown === 0 ? empty(params) : `${several(shown, "edit")}${page.next_cursor ? " so far" : ""}${params.size > 0 ? " found" : ""}, newest first.`);
      announce(shown === 0 ? "No edits." : `${several(shown, "edit")} shown.`);
      if (cursor) list.children[first]?.querySelector("a")?.focus();
      if (page.next_cursor) put(more, button("More", () => load(page.next_cursor), { class: "quiet" }));
    } catch (error) {
      if (error.name !== "AbortError") put(state, trouble(error));
    }
  };
  return load();
}

function empty(params) {
  return params.size > 0 ? "Nothing found." : el("span", {}, "There are no edits in this codebook yet. ", el("a", { href: "#/ask" }, "Ask about a picture"), ", and correct the answer if it is wrong.");
}

function item(edit) {
  const picture = stored(edit.image.id, [], "", edit.image);
  picture.root.classList.add("thumb");
  const filter = (name, value) => `#/edits?${new URLSearchParams({ [name]: value })}`;
  return el("li", { class: "card edit-item" }, picture.root,
    el("div", {},
      el("h2", {}, el("a", { href: `#/edits/${edit.id}` }, edit.question)),
      el("p", { class: "turn" }, edit.before && edit.before.answer !== edit.answer ? [el("s", {}, edit.before.answer || "(nothing)"), el("span", { "aria-hidden": "true" }, " → "), el("span", { class: "hidden-text" }, " corrected to ")] : null,
        el("strong", {}, edit.answer), took(edit)),
      edit.reasoning.length > 0 ? el("p", { class: "clamp" }, edit.reasoning.map((one) => one.statement).join(" ")) : el("p", { class: "hint" }, "No reasoning given."),
      el("p", { class: "hint" },
        edit.author ? el("a", { href: filter("author", edit.author) }, edit.author) : "no author given", " · ", when(edit.created_at), " · ",
        edit.fired.queries > 0 ? `used in ${several(edit.fired.queries, "answer")}` : "not used yet",
        edit.tags.map((tag) => [" ", el("a", { class: "chip", href: filter("tag", tag) }, tag)]).flat())));
}

/** Whether the model gave the right answer right after the edit. */
export function took(edit) {
  if (!edit.after) return null;
  return [" ", edit.after.answer === edit.answer ? chip(`took, ${percent(edit.after.probability)}`, "good") : chip(`did not take: “${edit.after.answer}”`, "warn")];
}
