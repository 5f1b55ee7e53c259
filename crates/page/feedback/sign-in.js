// Signing in with the issuer that the service takes tokens of: a window of its own goes there and back, so that nothing that was typed is lost.

import { t } from "./words.js";

/** What went wrong while signing in, in the page's own words. */
class SignInError extends Error {
  constructor(words) {
    super(String(words));
    this.words = words;
  }
}

/** The window that comes back tells the page that opened it, by name: the issuer's pages may have cut the two apart. */
const channel = (base) => new BroadcastChannel(`reasonedit.sign-in${base}`);

const text = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const chance = () => text(crypto.getRandomValues(new Uint8Array(32)));

/** Whether this is the window that comes back; then it has told, and closes. */
export function cameBack(base) {
  const said = new URLSearchParams(location.search);
  if (!said.has("state") || (!said.has("code") && !said.has("error"))) return false;
  channel(base).postMessage({ state: said.get("state"), code: said.get("code"), error: said.get("error") });
  history.replaceState(null, "", location.pathname);
  window.close();
  return true;
}

/** How people sign in: `issuer`, and `begin`, which gives their token. `null` where they can't, or where this page has no secure context. */
export async function signIn(base) {
  if (!crypto.subtle) return null;
  const response = await fetch(`${base}/sign-in`).catch(() => null);
  if (!response?.ok) return null;
  const { issuer, authorization_url } = await response.json();
  if (authorization_url === null) return null;
  return { issuer, begin: () => begin(base, authorization_url) };
}

async function begin(base, address) {
  // At once, while the browser still takes it for what the person did.
  const opened = window.open("about:blank", "_blank", "width=520,height=720");
  if (opened === null) throw new SignInError(t("sign-in.no-window"));
  const [verifier, state] = [chance(), chance()];
  const redirect = new URL(`${base}/`, location.origin).href;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const url = new URL(address);
  url.searchParams.set("redirect_uri", redirect);
  url.searchParams.set("state", state);
  url.searchParams.set("code_challenge", text(new Uint8Array(digest)));
  const answered = new Promise((resolve) => {
    const listening = channel(base);
    listening.onmessage = ({ data }) => {
      if (data.state !== state) return;
      listening.close();
      resolve(data);
    };
  });
  opened.location = url.href;
  const { code, error } = await answered;
  if (code === null) throw new SignInError(error === "access_denied" ? t("sign-in.declined") : t("sign-in.failed", { reason: error }));
  const response = await fetch(`${base}/sign-in`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code, code_verifier: verifier, redirect_uri: redirect }),
  });
  const said = await response.json();
  if (!response.ok) throw new Error(said.detail || said.title);
  return said.access_token;
}
