// Questions in a dialog: modal, closed by Escape, focus goes back to where it was.

import { button, el, field, put, quoted } from "./dom.js";
import { t } from "./words.js";

function open(title, body, buttons, onsubmit) {
  return new Promise((resolve) => {
    const heading = el("h2", { id: "dialog-title" }, title);
    const form = el("form", { method: "dialog" }, heading, typeof body === "function" ? body((value) => settle(value)) : body, el("div", { class: "row end" }, buttons((value) => settle(value))));
    const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, form);
    let result = null;
    const settle = (value) => {
      result = value;
      dialog.close();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      onsubmit(settle);
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks whether to go on; `true` or `null`. */
export function confirm(title, text, label, danger = true) {
  return open(title, el("p", {}, text),
    (settle) => [button(t("dialog.cancel"), () => settle(null), { class: "quiet", autofocus: true }), button(label, () => settle(true), { class: danger ? "danger" : "" })],
    () => {});
}

/** Asks for the token of a service that wants one; `null` if none is given. `signIn`: how people sign in elsewhere, if they can. */
export function askToken(again, signIn) {
  const input = el("input", { type: "password", autocomplete: "current-password", required: true, autofocus: signIn === null });
  const text = t(again ? "token.refused" : signIn === null ? "token.wanted" : "token.who");
  const trouble = el("p", { class: "note", role: "alert", hidden: true });
  const elsewhere = (settle) => button(t("token.elsewhere", { host: new URL(signIn.issuer).host }), async () => {
    try {
      settle(await signIn.begin());
    } catch (error) {
      trouble.hidden = false;
      put(trouble, error.words || [t("problem.unknown"), quoted(error.message)]);
    }
  }, { class: "primary wide", autofocus: true });
  return open(t(signIn === null ? "token.title" : "token.sign-in"), (settle) => [
    el("p", {}, text),
    signIn === null ? [] : elsewhere(settle),
    trouble,
    field(t(signIn === null ? "token.token" : "token.or"), input, t("token.kept")),
  ],
  (settle) => [button(t("dialog.cancel"), () => settle(null), { class: "quiet" }), el("button", { type: "submit", class: signIn === null ? "" : "quiet" }, t("token.use"))],
  (settle) => { if (input.value.trim()) settle(input.value.trim()); });
}
