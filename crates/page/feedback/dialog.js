// Questions in a dialog: modal, closed by Escape, focus goes back to where it was.

import { button, el, field } from "./dom.js";

function open(title, body, buttons, onsubmit) {
  return new Promise((resolve) => {
    const heading = el("h2", { id: "dialog-title" }, title);
    const form = el("form", { method: "dialog" }, heading, body, el("div", { class: "row end" }, buttons((value) => settle(value))));
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
    (settle) => [button("Cancel", () => settle(null), { class: "quiet", autofocus: true }), button(label, () => settle(true), { class: danger ? "danger" : "" })],
    () => {});
}

/** Asks for the token of a service that wants one; `null` if none is given. */
export function askToken(again) {
  const input = el("input", { type: "password", autocomplete: "current-password", required: true, autofocus: true });
  const text = again
    ? "The service did not accept the token. Check it, and try again."
    : "This service is open to people with a token only. Whoever runs it can give you one.";
  return open("Access token", [el("p", {}, text), field("Token", input, "It is kept until this tab is closed.")],
    (settle) => [button("Cancel", () => settle(null), { class: "quiet" }), el("button", { type: "submit" }, "Use it")],
    (settle) => { if (input.value.trim()) settle(input.value.trim()); });
}
