// Corrections that contradict each other: why they are at odds, what was decided about them, and what the
// page of a correction tells of those that contradict it.

import { el, pair, uid, when } from "./dom.js";
import { knows, rich, t } from "./words.js";

/** What of an edit's conflicts stands back for it: what contradicts it beside these stands as it does. */
export function older(edit) {
  return edit.conflicts.filter((one) => !one.contradiction);
}

/** Whether another stands in its place since it was decided to keep that one. */
export function lost(edit) {
  return edit.conflicts.some((one) => one.contradiction?.resolution?.decision === "keep" && one.edit_id === edit.superseded_by?.edit_id);
}

/** Why two are at odds, in a sentence. */
export function why(reason) {
  return t(knows(`odds.reason.${reason}`) ? `odds.reason.${reason}` : "odds.reason.other");
}

/** Who decided, and when. Where nobody has a name, when. */
export function decidedBy({ by, at }) {
  return by ? rich("odds.by", { name: by, time: when(at) }) : when(at);
}

/** What was decided where none of the two was kept. */
export function leftStanding({ decision, note }) {
  if (decision === "keep_both") return t("odds.both", { note });
  return note ? t("odds.asked", { name: note }) : t("odds.asked.somebody");
}

/** What was decided about an edit and one that contradicts it. */
function decided(edit, { edit_id: other, contradiction: { resolution } }) {
  if (!resolution) return t("odds.open");
  let said = null;
  if (resolution.decision === "keep") {
    // Who was kept has a version that names the other. That version may have been taken back since, and the
    // decision is told all the same.
    const one = edit.superseded_by?.edit_id === other ? "other" : edit.supersedes.includes(other) ? "this" : "undone";
    said = t(`odds.kept.${one}`);
  } else {
    said = leftStanding(resolution);
  }
  return [said, " ", el("span", { class: "hint" }, decidedBy(resolution))];
}

/** Those that contradict it, in a part of their own; `named` tells another correction with the way to it. */
export function contradicts(edit, { named, tag, kind }) {
  const found = edit.conflicts.filter((one) => one.contradiction);
  if (found.length === 0) return null;
  const id = uid("odds");
  return el("section", { class: `${kind} odds`, "aria-labelledby": id }, el(tag, { id }, t("odds.title")),
    el("ul", { class: "plain" }, found.map((one) => {
      const { reason, says, other_says: against } = one.contradiction;
      return el("li", {}, el("p", {}, named(one)),
        el("dl", { class: "facts-list" }, pair(t("odds.says"), t("frame.quoted", { text: says })), pair(t("odds.other-says"), t("frame.quoted", { text: against })),
          pair(t("odds.why"), why(reason)), pair(t("odds.state"), decided(edit, one))));
    })),
    el("p", {}, el("a", { href: "#/review/contradictions" }, t("odds.all"))));
}
