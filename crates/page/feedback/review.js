// Corrections that wait until a colleague has looked at them: those to decide about, one's own, and what was
// decided; and the way to those that contradict each other.

import { announce, button, el, put, trouble, when } from "./dom.js";
import { get, whoami } from "./api.js";
import { stored } from "./picture.js";
import { chip, heading } from "./parts.js";
import { entitle, t } from "./words.js";

const PAGE = 20;
const TONES = { waiting: "accent", approved: "good", rejected: "bad", withdrawn: "" };

/** Whether a proposal is somebody's own; where nobody has a name, everybody's. */
export function isOwn(proposal, caller) {
  return proposal.by === caller.name || (caller.name !== null && proposal.author === caller.name);
}

/** Whether somebody may decide about the corrections of others. */
export function mayDecide(caller) {
  return caller.role === "editor" || caller.role === "admin";
}

/** The address of a proposal's page. */
export function pageOf(proposal) {
  return `#/review/${proposal.id}`;
}

/** What becomes of it, as a small label. */
export function stateOf(proposal) {
  const { state, approvals, approvals_needed: needed } = proposal;
  const so = state === "waiting" && needed > 1 ? t("review.state.some", { n: approvals.length, needed }) : t(`review.state.${state}`);
  return chip(so, TONES[state]);
}

/** Shows the way to this page where there is anything on it. */
export async function showWay() {
  const link = document.querySelector('[data-page="review"]');
  try {
    const [{ proposals }, { conflicts }] = await Promise.all([get("/proposals", { limit: 1 }), get("/conflicts", { limit: 1 })]);
    link.hidden = proposals.length === 0 && conflicts.length === 0;
  } catch {
    // What can't be asked for now is asked for when the page is opened.
  }
}

/** The lists. */
export async function showReview(root, signal) {
  entitle(t("nav.review"));
  const body = el("div", { class: "page" });
  put(root, heading(t("review.title")), el("p", { class: "hint" }, t("review.lead")), body);
  let caller;
  try {
    caller = await whoami();
  } catch (error) {
    put(body, trouble(error));
    return;
  }
  if (signal.aborted) return;
  const decides = mayDecide(caller);
  await listing(body, {
    title: t(decides ? "review.to-decide" : "review.of-others"), empty: t("review.to-decide.none"),
    query: { state: "waiting" }, shown: (one) => caller.name === null || !isOwn(one, caller), signal,
  });
  const odds = el("section", { class: "listing", hidden: true });
  body.append(odds);
  wayToContradictions(odds, signal);
  if (caller.name !== null) await listing(body, { title: t("review.mine"), empty: t("review.mine.none"), query: { author: caller.name }, shown: () => true, signal });
  await listing(body, {
    title: t("review.decided"), empty: t("review.decided.none"), query: {},
    shown: (one) => one.state !== "waiting" && (caller.name === null || !isOwn(one, caller)), signal,
  });
}

/** The way to what contradicts each other; nothing where nothing does. */
async function wayToContradictions(root, signal) {
  try {
    const { conflicts, next_cursor: next } = await get("/conflicts", { open: "true", limit: 50 }, { signal });
    const n = conflicts.length;
    if (n === 0 && (await get("/conflicts", { limit: 1 }, { signal })).conflicts.length === 0) return;
    const so = n === 0 ? t("odds.way.none") : t(next ? "odds.way.many" : "odds.way", { n });
    put(root, el("h2", {}, t("odds.part")), el("p", { class: n > 0 ? "note" : "hint" }, so),
      el("p", {}, el("a", { href: "#/review/contradictions" }, t("odds.page"))));
    root.hidden = false;
  } catch (error) {
    if (error.name === "AbortError") return;
    put(root, trouble(error));
    root.hidden = false;
  }
}

/** One list with its heading, a page at a time; of a page what `shown` says is shown. */
async function listing(root, { title, empty, query, shown, signal }) {
  const list = el("ul", { class: "edit-list" });
  const told = el("p", { class: "hint" }, t("frame.wait"));
  const more = el("div", { class: "row" });
  root.append(el("section", { class: "listing" }, el("h2", {}, title), told, list, more));
  const load = async (cursor) => {
    put(more);
    try {
      const page = await get("/proposals", { limit: PAGE, cursor, ...query }, { signal });
      const first = list.childElementCount;
      list.append(...page.proposals.filter(shown).map(item));
      const n = list.childElementCount;
      put(told, n === 0 ? (page.next_cursor ? null : empty) : t(page.next_cursor ? "review.so-far" : "review.count", { n }));
      if (cursor) {
        announce(t("review.count", { n }));
        list.children[first]?.querySelector("a")?.focus();
      }
      if (page.next_cursor) put(more, button(t("edits.more"), () => load(page.next_cursor), { class: "quiet" }));
    } catch (error) {
      if (error.name !== "AbortError") put(told, trouble(error));
    }
  };
  await load();
}

function item(proposal) {
  const picture = stored(proposal.image_id, [], "");
  picture.root.classList.add("thumb");
  const reason = proposal.steps.at(-1).reason;
  return el("li", { class: "card edit-item" }, picture.root,
    el("div", {},
      el("h3", {}, el("a", { href: pageOf(proposal) }, proposal.question)),
      el("p", { class: "turn" }, el("strong", {}, proposal.answer)),
      el("p", {}, stateOf(proposal), proposal.amends ? [" ", chip(t("review.amends"))] : null),
      reason ? el("p", {}, t("review.because", { reason })) : null,
      proposal.reasoning.length > 0 ? el("p", { class: "clamp" }, proposal.reasoning.map((one) => one.statement).join(" ")) : el("p", { class: "hint" }, t("edit.no-reasons")),
      el("p", { class: "hint" }, proposal.author || t("edit.no-author"), " · ", when(proposal.created_at))));
}
