// What was corrected, when and by whom, and what became of it: one's own first, then everybody's; and finding some of them.

import { announce, button, el, field, put, trouble, when } from "./dom.js";
import { codebookName, get } from "./api.js";
import { stored } from "./picture.js";
import { answerText, chip, heading } from "./parts.js";
import { me, state, used } from "./standing.js";
import { makeAgain, takenBack } from "./taken-back.js";
import { entitle, rich, t } from "./words.js";

const PAGE = 20;

/** The list; what is looked for stands in the address. */
export async function showEdits(root, params, signal) {
  entitle(t("nav.edits"));
  const body = el("div", { class: "page" });
  put(root, heading(t("edits.title")), body);
  const mine = await me().catch(() => "");
  if (signal.aborted) return;
  const searching = ["q", "author", "tag"].some((name) => params.has(name));
  put(body, searchForm(params, searching, mine), undoneView());
  if (searching || mine === "") {
    await listing(body, { title: null, query: filters(params), searching, signal });
    return;
  }
  await listing(body, { title: t("edits.mine"), query: { author: mine }, empty: t("edits.mine.none", { name: mine }), signal });
  await listing(body, { title: t("edits.others"), query: {}, without: mine, empty: t("edits.others.none"), signal });
}

function filters(params) {
  return { q: params.get("q"), author: params.get("author"), tag: params.get("tag") };
}

function searchForm(params, searching, mine) {
  const inputs = {
    q: el("input", { type: "search", value: params.get("q") || "", placeholder: t("edits.search.placeholder") }),
    author: el("input", { type: "text", value: params.get("author") || "", autocomplete: "off" }),
    tag: el("input", { type: "text", value: params.get("tag") || "", autocomplete: "off" }),
  };
  const own = el("input", { type: "checkbox", id: "edits-mine", checked: mine !== "" && params.get("author") === mine });
  own.addEventListener("change", () => {
    inputs.author.value = own.checked ? mine : "";
    form.requestSubmit();
  });
  const form = el("form", { class: "card search", role: "search", "aria-label": t("edits.title") },
    field(t("edits.search"), inputs.q), field(t("edit.author"), inputs.author), field(t("edits.tag"), inputs.tag),
    el("div", { class: "row" }, el("button", { type: "submit", class: "primary" }, t("edits.search.go")),
      searching ? el("a", { class: "button quiet", href: "#/edits" }, t("edits.all")) : null,
      mine === "" ? null : el("label", { class: "check", for: own.id }, own, " ", t("edits.only-mine"))));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = new URLSearchParams();
    for (const [name, input] of Object.entries(inputs)) if (input.value.trim()) wanted.set(name, input.value.trim());
    location.hash = wanted.size > 0 ? `#/edits?${wanted}` : "#/edits";
  });
  return form;
}

/** One list with its heading, a page at a time. `without`: an author who has a list of their own. */
async function listing(root, { title, query, without, searching = false, empty = null, signal }) {
  const list = el("ul", { class: "edit-list" });
  const told = el("p", { class: "hint" }, t("frame.wait"));
  const more = el("div", { class: "row" });
  root.append(el("section", { class: "listing" }, title ? el("h2", {}, title) : null, told, list, more));
  const load = async (cursor) => {
    put(more);
    try {
      const page = await get("/edits", { limit: PAGE, cursor, ...query }, { signal });
      const first = list.childElementCount;
      list.append(...page.edits.filter((edit) => without === undefined || edit.author !== without).map(item));
      const n = list.childElementCount;
      const so = page.next_cursor ? "edits.so-far" : searching ? "edits.found" : "edits.count";
      put(told, n > 0 ? t(so, { n }) : page.next_cursor ? null : empty || (searching ? t("edits.found.none") : nothingYet()));
      announce(n === 0 ? t("edits.none") : t("edits.count", { n }));
      if (cursor) list.children[first]?.querySelector("a")?.focus();
      if (page.next_cursor) put(more, button(t("edits.more"), () => load(page.next_cursor), { class: "quiet" }));
    } catch (error) {
      if (error.name !== "AbortError") put(told, trouble(error));
    }
  };
  await load();
}

function nothingYet() {
  return rich("edits.empty", { link: el("a", { href: "#/ask" }, t("edits.empty.link")) });
}

/** What was taken back while this page is open, and can be made again. */
function undoneView() {
  const undone = takenBack(codebookName());
  if (undone.length === 0) return null;
  const root = el("section", { class: "card", "aria-labelledby": "taken-back" }, el("h2", { id: "taken-back" }, t("taken-back.title")), el("p", { class: "hint" }, t("taken-back.hint")),
    el("ul", { class: "plain" }, undone.map((one) => {
      const problem = el("div");
      const again = button(t("taken-back.again"), async () => {
        again.disabled = true;
        try {
          const made = await makeAgain(one);
          const waits = made.status === "proposed";
          announce(t(waits ? "outcome.proposed" : "taken-back.made"));
          location.hash = waits ? `#/review/${made.id}` : `#/edits/${made.id}`;
        } catch (error) {
          again.disabled = false;
          put(problem, trouble(error));
        }
      }, { class: "quiet small" });
      return el("li", { class: "row spread" }, el("span", {}, one.edit.question, " → ", el("strong", {}, one.edit.answer), " ", el("span", { class: "hint" }, t("taken-back.at"), " ", when(one.at))), again, problem);
    })));
  return root;
}

function item(edit) {
  const picture = stored(edit.image.id, [], "", edit.image);
  picture.root.classList.add("thumb");
  const filter = (name, value) => `#/edits?${new URLSearchParams({ [name]: value })}`;
  const turned = edit.before && edit.before.answer !== edit.answer;
  return el("li", { class: "card edit-item" }, picture.root,
    el("div", {},
      el("h3", {}, el("a", { href: `#/edits/${edit.id}` }, edit.question)),
      el("p", { class: "turn" }, turned ? [el("s", {}, answerText(edit.before.answer)), el("span", { "aria-hidden": "true" }, " → "), el("span", { class: "hidden-text" }, " ", t("edits.corrected-to"), " ")] : null,
        el("strong", {}, edit.answer)),
      el("p", {}, state(edit)),
      edit.reasoning.length > 0 ? el("p", { class: "clamp" }, edit.reasoning.map((one) => one.statement).join(" ")) : el("p", { class: "hint" }, t("edit.no-reasons")),
      el("p", { class: "hint" },
        edit.author ? el("a", { href: filter("author", edit.author) }, edit.author) : t("edit.no-author"), " · ", when(edit.created_at), " · ", used(edit),
        edit.tags.map((tag) => [" ", el("a", { class: "chip", href: filter("tag", tag) }, tag)]).flat())));
}
