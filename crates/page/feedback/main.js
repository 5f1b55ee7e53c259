// Which page is shown, and what stands above all of them.

import { announce, el, put, several } from "./dom.js";
import { BASE, codebookName, forgetToken, get, hasToken, readiness, useCodebook, whoami } from "./api.js";
import { cameBack } from "./sign-in.js";
import { AskPage } from "./ask.js";
import { showEdits } from "./edits.js";
import { showEdit } from "./edit.js";
import { showTopology } from "./topology.js";
import { showStatus } from "./status.js";

const main = document.getElementById("main");
const other = el("div", { class: "page" });
const ask = new AskPage();
main.append(ask.root, other);

let leaving = null;

function route() {
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, id] = path.split("/").map(decodeURIComponent);
  const params = new URLSearchParams(search || "");
  const known = ["ask", "edits", "topology", "status"].includes(page) ? page : "ask";
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === known) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  ask.root.hidden = known !== "ask";
  other.hidden = known === "ask";
  if (known === "ask") {
    put(other);
    ask.shown();
  } else {
    const shown = known === "topology" ? showTopology(other, params, signal)
      : known === "status" ? showStatus(other, signal)
        : id ? showEdit(other, id, signal, again)
          : showEdits(other, params, signal);
    shown.then(() => { if (!signal.aborted) focusHeading(other); }).catch((error) => { if (error.name !== "AbortError") throw error; });
  }
  focusHeading(known === "ask" ? ask.root : other);
  window.scrollTo(0, 0);
}

let first = true;

/** The heading of a page is where reading begins; not on the first, where the browser begins at the top anyway. */
function focusHeading(page) {
  if (first) return;
  const title = page.querySelector("h1");
  const inPage = page.contains(document.activeElement) && document.activeElement !== title;
  if (title && !inPage) title.focus({ preventScroll: true });
}

function again(edit) {
  location.hash = "#/ask";
  ask.takeEdit(edit);
}

window.addEventListener("hashchange", route);

// The codebook.

const form = document.getElementById("codebook-form");
const codebook = document.getElementById("codebook");
codebook.value = codebookName();

function changeCodebook() {
  if (!codebook.checkValidity()) {
    codebook.reportValidity();
    return;
  }
  const name = codebook.value.trim();
  if (name === codebookName() || (name === "default" && codebookName() === "")) return;
  useCodebook(name);
  announce(`Codebook ${name || "default"}.`);
  document.dispatchEvent(new Event("codebook"));
  route();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  changeCodebook();
});
codebook.addEventListener("change", changeCodebook);
codebook.addEventListener("focus", async () => {
  try {
    const { codebooks } = await get("/codebooks", { limit: 200 }, { everywhere: true });
    put(document.getElementById("codebooks"), codebooks.map(({ name, edits }) => el("option", { value: name, label: `${name} (${several(edits, "edit")})` })));
  } catch {
    // Names can be typed all the same.
  }
});

// The token.

const token = document.getElementById("token-button");

function tokenShown() {
  token.hidden = !hasToken();
}

document.addEventListener("token", tokenShown);
token.addEventListener("click", () => {
  forgetToken();
  location.reload();
});
tokenShown();

// Whether the service is ready.

const badge = document.getElementById("ready");
const banner = document.getElementById("banner");
let state = "";

async function watch() {
  let next;
  let model = null;
  try {
    const answer = await readiness();
    next = answer.status;
    model = answer.model;
  } catch {
    next = "gone";
  }
  if (next !== state) {
    state = next;
    const texts = { ready: `ready`, loading: "loading the model", unwritable: "can't store edits", gone: "not reachable" };
    put(badge, texts[next] || next);
    badge.className = `badge ${next === "ready" ? "ok" : "no"}`;
    badge.title = model ? `${model.architecture} ${model.name} on ${model.device}` : "";
    banner.hidden = next === "ready";
    const banners = {
      loading: "The model is being loaded. Questions and edits are answered when it is there.",
      unwritable: "Edits can't be stored at present; whoever runs the service has to make room. Questions are answered meanwhile.",
      gone: "The service can't be reached. This page tries again by itself.",
    };
    put(banner, banners[next] || "");
  }
  setTimeout(watch, next === "ready" ? 15_000 : 2000);
}

// Who asks. A service that wants a token says so at once, not after a question was written.

const who = document.getElementById("who");

async function showWho() {
  let caller;
  try {
    caller = await whoami();
  } catch {
    who.hidden = true;
    return;
  }
  who.hidden = !caller.tokens_asked_for;
  put(who, caller.name ? `${caller.name}, ${caller.role}` : caller.role);
  who.title = caller.codebooks === null ? "For all codebooks" : `For ${caller.codebooks.join(", ")}`;
  // Where the default codebook is not theirs, the first that is.
  if (caller.codebooks !== null && !caller.codebooks.includes(codebookName() || "default")) {
    codebook.value = caller.codebooks[0];
    changeCodebook();
  }
}

if (cameBack(BASE)) {
  put(main, el("p", { class: "note" }, "You are signed in, and can close this window."));
} else {
  document.addEventListener("token", showWho);
  showWho();
  watch();
  route();
  first = false;
}
