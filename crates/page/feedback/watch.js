// Whether the service is there and ready: told within two seconds, and taken back by itself.

import { put, tell } from "./dom.js";
import { alive, readiness } from "./api.js";
import { t } from "./words.js";

/** Milliseconds between two signs of life, and how long one may take: together less than two seconds. */
const BEAT = 800;
const PATIENCE = 1000;
/** Looks at readiness come this many beats apart, or at once when something has changed. */
const BEATS = 18;

const STATES = ["ready", "loading", "unwritable", "stopping", "gone"];

let state = "";
let beats = BEATS;
let wake = null;

function show(next, model) {
  if (next === state) return;
  state = next;
  const badge = document.getElementById("ready");
  const banner = document.getElementById("banner");
  put(badge, t(`ready.${next}`));
  badge.className = `badge ${next === "ready" ? "ok" : "no"}`;
  if (model) tell(badge, "title", t("ready.model", { name: model.name }));
  banner.hidden = next === "ready";
  put(banner, next === "ready" ? [] : t(`banner.${next}`));
}

async function look() {
  if (!navigator.onLine || !await alive(PATIENCE)) {
    beats = BEATS;
    show("gone", null);
    return;
  }
  beats += 1;
  if (state === "ready" && beats < BEATS) return;
  beats = 0;
  try {
    const { status, model } = await readiness(AbortSignal.timeout(10_000));
    show(STATES.includes(status) ? status : "gone", model);
  } catch {
    beats = BEATS;
  }
}

/** Looks again and again while the page is seen. */
export async function watch() {
  put(document.getElementById("ready"), t("ready.connecting"));
  const now = () => wake?.();
  for (const [target, name] of [[window, "online"], [window, "offline"], [document, "visibilitychange"], [document, "unreachable"]]) target.addEventListener(name, now);
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, BEAT);
      wake = () => { clearTimeout(timer); resolve(); };
    });
  }
}
