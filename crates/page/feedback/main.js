// Which page is shown, and who is asking.

import { el, put } from "./dom.js";
import { BASE, codebookName, forgetToken, hasToken, whoami } from "./api.js";
import { cameBack } from "./sign-in.js";
import { goToCodebook, isExpert, setUpFrame } from "./frame.js";
import { watch } from "./watch.js";
import { listed, t } from "./words.js";
import { AskPage } from "./ask.js";
import { showContradictions } from "./contradictions.js";
import { showEdits } from "./edits.js";
import { showEdit } from "./edit.js";
import { showProposal } from "./proposal.js";
import { showReview, showWay } from "./review.js";
import { showTopology } from "./topology.js";
import { showStatus } from "./status.js";

const main = document.getElementById("main");
const other = el("div", { class: "page" });
const ask = new AskPage();

let leaving = null;

/** The pages beside the first one, by the first part of the address: each fills `other` until `signal` says that it is left. */
const PAGES = {
  edits: (id, params, signal) => (id ? showEdit(other, id, signal, again) : showEdits(other, params, signal)),
  review: (id, params, signal) => {
    if (id === "contradictions") return showContradictions(other, signal);
    return id ? showProposal(other, id, signal) : showReview(other, signal);
  },
  topology: (id, params, signal) => showTopology(other, params, signal),
  status: (id, params, signal) => showStatus(other, signal),
};
/** Those that only experts are led to. */
const FOR_EXPERTS = ["topology"];

function route() {
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, id] = path.split("/").map(decodeURIComponent);
  const known = Object.hasOwn(PAGES, page) && (isExpert() || !FOR_EXPERTS.includes(page)) ? page : "ask";
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
    PAGES[known](id, new URLSearchParams(search || ""), signal)
      .then(() => { if (!signal.aborted) focusHeading(other); })
      .catch((error) => { if (error.name !== "AbortError") throw error; });
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
  const inMenu = document.getElementById("menu").open;
  if (title && !inPage && !inMenu) title.focus({ preventScroll: true });
}

function again(edit) {
  location.hash = "#/ask";
  ask.takeEdit(edit);
}

// The token.

const token = document.getElementById("token-button");

function tokenShown() {
  token.hidden = !hasToken();
}

token.addEventListener("click", () => {
  forgetToken();
  location.reload();
});

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
  showWay();
  who.hidden = !caller.tokens_asked_for;
  const mine = caller.codebooks;
  const role = t(`role.${caller.role}`);
  put(who, caller.name ? t("who.named", { name: caller.name, role }) : role,
    el("span", { class: "hidden-text" }, " ", mine === null ? t("who.all") : t("who.some", { names: listed(mine) })));
  // Where the default collection is not theirs, the first that is.
  if (mine !== null && !mine.includes(codebookName() || "default")) goToCodebook(mine[0]);
}

setUpFrame(route);
if (cameBack(BASE)) {
  put(main, el("p", { class: "note" }, t("sign-in.done")));
} else {
  main.append(ask.root, other);
  document.addEventListener("token", tokenShown);
  document.addEventListener("token", showWho);
  document.addEventListener("codebook", showWay);
  document.addEventListener("proposed", showWay);
  document.addEventListener("contradicted", showWay);
  window.addEventListener("hashchange", route);
  tokenShown();
  showWho();
  watch();
  route();
  first = false;
}
