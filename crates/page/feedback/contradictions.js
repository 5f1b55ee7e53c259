// Corrections that contradict each other, as pairs side by side: those that nobody has decided about,
// deciding, and what was decided lately.

import { announce, button, el, field, put, trouble, when } from "./dom.js";
import { change, get, getTagged, post, whoami } from "./api.js";
import { confirm } from "./dialog.js";
import { decidedBy, leftStanding, why } from "./odds.js";
import { stored } from "./picture.js";
import { heading } from "./parts.js";
import { mayDecide } from "./review.js";
import { entitle, t } from "./words.js";

/** Pairs of a page: each asks for both its corrections. */
const PAGE = 10;
const LATELY = 200;
const MOST_NOTE = 2000;

/** The page. */
export async function showContradictions(root, signal) {
  entitle(t("odds.page"));
  const body = el("div", { class: "page" });
  put(root, el("p", { class: "crumbs" }, el("a", { href: "#/review" }, t("nav.review"))), heading(t("odds.page")),
    el("p", { class: "hint" }, t("odds.lead")), body);
  try {
    const caller = await whoami();
    if (signal.aborted) return;
    await new Contradictions(root, body, { decides: mayDecide(caller), signal }).load();
  } catch (error) {
    if (error.name !== "AbortError") put(body, trouble(error));
  }
}

class Contradictions {
  constructor(root, body, { decides, signal }) {
    Object.assign(this, { root, body, decides, signal });
  }

  /** Both lists. What is shown stays until the new ones are there. */
  async load() {
    const lists = [
      new List(this, { title: t("odds.undecided"), empty: t("odds.undecided.none"), open: true }),
      new List(this, { title: t("odds.decided"), empty: t("odds.decided.none"), open: false }),
    ];
    await Promise.all(lists.map((list) => list.load()));
    put(this.body, this.decides ? null : el("p", { class: "hint" }, t("review.decide.others")), lists.map((list) => list.root));
  }

  /** After a decision the pair is where it belongs now, and reading goes on there. */
  async decided(pair, done) {
    announce(done);
    await this.load();
    // Another page may have been opened meanwhile.
    if (this.signal.aborted) return;
    const now = this.body.querySelector(`[data-pair="${pair.id}"] h3`) ?? this.root.querySelector("h1");
    now.focus();
  }
}

class List {
  constructor(page, { title, empty, open }) {
    Object.assign(this, { page, empty, open });
    this.list = el("ul", { class: "edit-list" });
    this.told = el("p", { class: "hint" });
    this.more = el("div", { class: "row" });
    this.root = el("section", { class: "listing" }, el("h2", {}, title), this.told, this.list, this.more);
  }

  async load(cursor) {
    const { page, list } = this;
    put(this.more);
    try {
      const { conflicts, next } = await (this.open ? this.#found(cursor) : this.#lately(cursor));
      const pairs = await Promise.all(conflicts.map(async (one) => ({ ...one, whole: await both(one, page.signal) })));
      const first = list.childElementCount;
      // Of which one was taken back meanwhile is a pair no more.
      list.append(...pairs.filter((one) => one.whole !== null).map((one) => new Pair(page, one).root));
      const n = list.childElementCount;
      put(this.told, n > 0 ? t(next ? "odds.so-far" : "odds.count", { n }) : this.empty);
      if (cursor) {
        announce(t("odds.count", { n }));
        list.children[first]?.querySelector("h3").focus();
      }
      if (next) put(this.more, button(t("edits.more"), () => this.load(next), { class: "quiet" }));
    } catch (error) {
      if (error.name !== "AbortError") put(this.told, trouble(error));
    }
  }

  async #found(cursor) {
    const { conflicts, next_cursor: next } = await get("/conflicts", { open: "true", limit: PAGE, cursor }, { signal: this.page.signal });
    return { conflicts, next };
  }

  /** The service has them by when they were found; people look for what was decided last. */
  async #lately(from = 0) {
    if (from === 0) {
      const { conflicts } = await get("/conflicts", { open: "false", limit: LATELY }, { signal: this.page.signal });
      const at = (one) => Date.parse(one.resolution?.at ?? one.found_at);
      this.all = conflicts.sort((a, b) => at(b) - at(a));
    }
    const to = from + PAGE;
    return { conflicts: this.all.slice(from, to), next: to < this.all.length ? to : null };
  }
}

/** Both corrections of a pair, as they are now; `null` where one is gone. */
async function both(pair, signal) {
  try {
    return await Promise.all(pair.edits.map((one) => get(`/edits/${one.edit_id}`, {}, { signal })));
  } catch (error) {
    if (error.status === 404 || error.status === 410) return null;
    throw error;
  }
}

// Keeping one makes a version of it in the name of whoever decides, who has said nothing of the picture.
/** The version that says what it says now. */
function saidIn(edit) {
  return edit.versions.findLast((one) => one.number === 1 || one.changed.length > 0) ?? edit;
}

/** "“left” by kim". */
function named(edit) {
  return t("odds.named", { answer: edit.answer, author: saidIn(edit).author || t("edit.no-author") });
}

class Pair {
  constructor(page, pair) {
    Object.assign(this, { page, pair });
    this.problem = el("div");
    this.doing = el("div", { class: "doing" });
    const { decides } = page;
    this.root = el("li", { class: "card", "data-pair": pair.id },
      el("h3", { tabindex: "-1" }, why(pair.reason)),
      this.#state(),
      el("div", { class: "two versus" }, pair.whole.map((edit, at) => this.#side(edit, at, decides && pair.open))),
      this.problem, decides ? this.doing : null);
    if (decides) this.#actions();
  }

  /** What was decided about it, if anything was. */
  #state() {
    const { pair: { resolution, open, whole } } = this;
    // Something else may stand in the place of one of them.
    if (!open && !["keep", "keep_both"].includes(resolution?.decision)) return el("p", { class: "hint" }, t("odds.gone"));
    if (!resolution) return null;
    const kept = resolution.decision === "keep" ? whole.find((edit) => edit.id === resolution.keep) : null;
    const so = kept === null ? leftStanding(resolution)
      : open || kept === undefined ? t("odds.kept.undone") : t("odds.kept", { which: named(kept) });
    return [el("p", { class: open ? "note" : "good" }, so), el("p", { class: "hint" }, decidedBy(resolution))];
  }

  /** One of the two: the picture, what was asked, what is said. */
  #side(edit, at, keepable) {
    const says = this.pair.edits[at].says;
    const shown = edit.reasoning.flatMap((one, n) => (one.statement === says ? one.evidence.map((area) => ({
      area, label: String(n + 1), tone: n, name: t(area.source === "user" ? "box.by-person" : "box.by-model", { number: n + 1 }),
    })) : []));
    const picture = stored(edit.image.id, shown, t("picture.of-edit", { question: edit.question }), edit.image);
    const others = edit.reasoning.filter((one) => one.statement !== says);
    const from = saidIn(edit);
    return el("div", { class: "opinion side" }, picture.root,
      el("p", { class: "hint" }, edit.question),
      el("h4", {}, el("a", { href: `#/edits/${edit.id}` }, edit.answer)),
      says === edit.answer ? null : el("p", { class: "statement" }, t("frame.quoted", { text: says })),
      others.length > 0 ? el("p", { class: "clamp hint" }, others.map((one) => one.statement).join(" ")) : null,
      el("p", { class: "hint" }, from.author || t("edit.no-author"), " · ", when(from.created_at)),
      keepable ? button(t("odds.keep"), (event) => this.#keep(event.currentTarget, at), { "aria-label": t("odds.keep.one", { which: named(edit) }) }) : null);
  }

  #actions() {
    const { resolution, open } = this.pair;
    const undo = !resolution || (open && resolution.decision === "keep") ? null
      : button(t(resolution.decision === "ask" ? "odds.unask" : "odds.undo"), (event) => this.#undo(event.currentTarget), { class: "quiet" });
    put(this.problem);
    put(this.doing, el("div", { class: "row" }, open ? [
      button(t("odds.both.open"), () => this.#both(), { class: "quiet" }),
      button(t("odds.ask.open"), () => this.#ask(), { class: "quiet" }),
    ] : null, undo));
  }

  async #keep(pressed, at) {
    const { whole } = this.pair;
    const [kept, other] = [whole[at], whole[1 - at]];
    const text = t("odds.keep.text", { which: named(other) });
    if (!await confirm(t("odds.keep.title", { which: named(kept) }), text, t("odds.keep.go"))) return;
    await this.#resolve(pressed, { decision: "keep", keep: kept.id });
  }

  #both() {
    const note = el("textarea", { rows: "3", maxlength: String(MOST_NOTE), required: true });
    this.#form(field(t("odds.both.note"), note, t("odds.both.hint")), note, t("odds.both.go"), "keep_both");
  }

  #ask() {
    const note = el("input", { type: "text", maxlength: String(MOST_NOTE), required: true, autocomplete: "off" });
    this.#form(field(t("odds.ask.note"), note, t("odds.ask.hint")), note, t("odds.ask.go"), "ask");
  }

  #form(fields, note, label, decision) {
    const go = el("button", { type: "submit", class: "primary" }, label);
    const back = () => {
      this.#actions();
      this.doing.querySelector("button").focus();
    };
    const form = el("form", {}, fields, el("div", { class: "row" }, button(t("dialog.cancel"), back, { class: "quiet" }), go));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      // Blanks alone say nothing.
      if (note.value.trim() === "") note.focus();
      else this.#resolve(go, { decision, note: note.value.trim() });
    });
    put(this.problem);
    put(this.doing, form);
    note.focus();
  }

  /** Both stand again and nothing is decided. */
  async #undo(pressed) {
    const { resolution } = this.pair;
    if (resolution.decision !== "keep") {
      await this.#resolve(pressed, { decision: "reopen" });
      return;
    }
    pressed.disabled = true;
    try {
      if (!await this.#bringBack(resolution)) {
        pressed.disabled = false;
        put(this.problem, el("p", { class: "note" }, t("odds.undo.later")));
        announce(t("odds.undo.later"), true);
        return;
      }
    } catch (error) {
      pressed.disabled = false;
      put(this.problem, trouble(error));
      return;
    }
    await this.#resolve(pressed, { decision: "reopen" });
  }

  /** Takes back the version that stands in the place of the other; `false` if a later one is upon it. */
  async #bringBack({ keep, at }) {
    const other = this.pair.edits.find((one) => one.edit_id !== keep).edit_id;
    const { body: kept, tag } = await getTagged(`/edits/${keep}`);
    if (!kept.supersedes.includes(other)) return true;
    // The version was made right before the decision was written down. One that is newer says something else.
    const newest = kept.versions.at(-1);
    if (newest.number < 2 || Date.parse(newest.created_at) > Date.parse(at)) return false;
    await change("DELETE", `/edits/${keep}/versions/${newest.number}`, undefined, tag);
    return true;
  }

  async #resolve(pressed, body) {
    pressed.disabled = true;
    put(this.problem);
    try {
      await post(`/conflicts/${this.pair.id}/resolve`, body);
    } catch (error) {
      pressed.disabled = false;
      put(this.problem, trouble(error));
      return;
    }
    await this.page.decided(this.pair, t(`odds.done.${body.decision}`));
  }
}
