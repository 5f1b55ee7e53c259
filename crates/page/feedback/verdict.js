// Whether an answer was right, in one press: it changes no answer, and is counted for the corrections that the answer rested on.

import { announce, button, el, put, trouble } from "./dom.js";
import { post, remove, whoami } from "./api.js";
import { t } from "./words.js";

/** Most corrections that a word is counted for. */
const MOST = 256;

/** The question below an answer whether it is right; nothing where the person may not say, or the answer has no name. */
export function verdict(answer) {
  if (!answer.request) return null;
  const edits = [...new Set(answer.retrieval.facts.flatMap((fact) => fact.edit_ids))].slice(0, MOST);
  const problem = el("div");
  let given = null;
  const say = async (one) => {
    for (const other of Object.values(buttons)) other.disabled = true;
    put(problem);
    try {
      if (given?.verdict === one) {
        await remove(`/feedback/${given.id}`);
        given = null;
        announce(t("verdict.taken-back"));
      } else {
        given = await post("/feedback", { verdict: one, answer_id: answer.request, edits });
        announce(t(one === "agree" ? "verdict.thanks" : "verdict.thanks.wrong"));
      }
    } catch (error) {
      put(problem, trouble(error));
    }
    for (const [name, other] of Object.entries(buttons)) {
      other.disabled = false;
      other.setAttribute("aria-pressed", String(given?.verdict === name));
    }
  };
  const buttons = Object.fromEntries(["agree", "disagree"].map((one) => [one,
    button(t(`verdict.${one}`), () => say(one), { class: "quiet small", "aria-pressed": "false" })]));
  const root = el("div", { class: "verdict", role: "group", "aria-label": t("verdict.question"), hidden: true },
    el("div", { class: "row" }, el("span", {}, t("verdict.question")), Object.values(buttons)), problem);
  whoami().then(({ role }) => { root.hidden = role === "reader"; }).catch(() => {});
  return root;
}
