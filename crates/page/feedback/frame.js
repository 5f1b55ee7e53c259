// What stands around every page: the words of the frame, language, expert view, and which collection is meant.

import { announce, el, put, tell } from "./dom.js";
import { codebookName, get, useCodebook } from "./api.js";
import { LANGUAGES, chooseLanguage, nameOf, ownLanguage, t } from "./words.js";

const EXPERT = "reasonedit.expert";
const root = document.documentElement;

/** Whether what only experts want to see is shown. */
export function isExpert() {
  return root.hasAttribute("data-expert");
}

/** Says the words of the frame, and wires what can be set there. `changed` shows the page anew. */
export function setUpFrame(changed) {
  root.toggleAttribute("data-expert", localStorage.getItem(EXPERT) === "yes");
  for (const node of document.querySelectorAll("[data-words]")) put(node, t(node.dataset.words));
  for (const node of document.querySelectorAll("[data-words-label]")) tell(node, "aria-label", t(node.dataset.wordsLabel));
  setUpMenu();
  setUpLanguage();
  setUpExpert(changed);
  setUpCodebook(changed);
}

function setUpMenu() {
  const menu = document.getElementById("menu");
  const close = () => { menu.open = false; };
  document.addEventListener("pointerdown", (event) => { if (!menu.contains(event.target)) close(); });
  menu.addEventListener("focusout", (event) => { if (event.relatedTarget !== null && !menu.contains(event.relatedTarget)) close(); });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    close();
    menu.querySelector("summary").focus();
  });
}

function setUpLanguage() {
  const select = document.getElementById("language");
  put(select, el("option", { value: "" }, t("menu.language.auto")), LANGUAGES.map((code) => el("option", { value: code, lang: code }, nameOf(code))));
  select.value = ownLanguage();
  select.addEventListener("change", async () => {
    try {
      await chooseLanguage(select.value);
      announce(t("menu.language.changed"));
    } catch {
      announce(t("problem.unreachable"), true);
    }
  });
}

function setUpExpert(changed) {
  const box = document.getElementById("expert");
  box.checked = isExpert();
  box.addEventListener("change", () => {
    root.toggleAttribute("data-expert", box.checked);
    localStorage.setItem(EXPERT, box.checked ? "yes" : "no");
    announce(t(box.checked ? "menu.expert.on" : "menu.expert.off"));
    changed();
  });
}

function setUpCodebook(changed) {
  const input = document.getElementById("codebook");
  const change = () => {
    if (!input.checkValidity()) {
      input.reportValidity();
      return;
    }
    const name = input.value.trim();
    if (name === codebookName() || (name === "default" && codebookName() === "")) return;
    useCodebook(name);
    announce(t("menu.codebook.changed", { name: name || "default" }));
    document.dispatchEvent(new Event("codebook"));
    changed();
  };
  const where = document.getElementById("where");
  const show = () => {
    where.hidden = codebookName() === "";
    put(where, t("frame.where", { name: codebookName() }));
  };
  show();
  document.addEventListener("codebook", show);
  input.value = codebookName();
  document.getElementById("codebook-form").addEventListener("submit", (event) => {
    event.preventDefault();
    change();
  });
  input.addEventListener("change", change);
  input.addEventListener("focus", async () => {
    try {
      const { codebooks } = await get("/codebooks", { limit: 200 }, { everywhere: true });
      put(document.getElementById("codebooks"), codebooks.map(({ name, edits }) => el("option", { value: name, label: t("menu.codebook.one", { name, n: edits }) })));
    } catch {
      // Names can be typed all the same.
    }
  });
}

/** Goes to a collection that the person may see. */
export function goToCodebook(name) {
  const input = document.getElementById("codebook");
  input.value = name;
  input.dispatchEvent(new Event("change"));
}
