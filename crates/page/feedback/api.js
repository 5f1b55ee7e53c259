// What the service is asked. Every request goes through `send`, which knows the token, the codebook and the problem documents.

import { askToken } from "./dialog.js";
import { signIn } from "./sign-in.js";

/** Where the service is on this host: `""`, or the path below which a proxy shows it. The page's files lie one folder further down. */
export const BASE = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

// What one service is told is none of another's that is shown on the same host.
const TOKEN = `reasonedit.token${BASE}`;

/** A refusal, as the service's problem document tells it; of the page's own making it has a `type` alone. */
export class Failure extends Error {
  constructor(problem, status, request) {
    super(problem.detail || problem.title || String(status));
    this.type = (problem.type || "").split(/[/:#]/).at(-1);
    this.detail = problem.detail || problem.title || null;
    this.status = status;
    this.errors = problem.errors || [];
    this.job = problem.job || null;
    this.request = request;
    /** Seconds after which it may be tried again. */
    this.wait = null;
  }
}

let codebook = new URLSearchParams(location.search).get("codebook") || "";

/** The codebook that everything is about; `""` for the default one. */
export function codebookName() {
  return codebook;
}

/** Changes over to another codebook; the address says so, and can be passed on. */
export function useCodebook(name) {
  codebook = name === "default" ? "" : name;
  const search = codebook ? `?codebook=${encodeURIComponent(codebook)}` : "";
  history.replaceState(null, "", `${location.pathname}${search}${location.hash}`);
}

/** Whether a token is in use. */
export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

/** Forgets the token. */
export function forgetToken() {
  sessionStorage.removeItem(TOKEN);
}

let caller = null;

/** Who asks: name, role and codebooks as the service knows them. Asked once, and again with another token. */
export function whoami() {
  caller ||= get("/whoami", {}, { everywhere: true }).catch((error) => {
    caller = null;
    throw error;
  });
  return caller;
}

function address(path, params = {}, everywhere = false) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") all.set(name, value);
  }
  if (codebook && !everywhere) all.set("codebook", codebook);
  const search = all.toString();
  return search ? `${path}?${search}` : path;
}

let asking = null;

/** Sends a request; asks for a token where one is needed, and tries again. */
async function send(url, options = {}) {
  for (;;) {
    const headers = new Headers(options.headers);
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers.set("authorization", `Bearer ${token}`);
    let response;
    try {
      response = await fetch(BASE + url, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      document.dispatchEvent(new Event("unreachable"));
      throw new Failure({ type: "unreachable" }, 0);
    }
    if (response.status !== 401) return response;
    // Requests sent side by side share one dialog; one that was sent with an older token just tries again.
    if (sessionStorage.getItem(TOKEN) === token) {
      asking ||= signIn(BASE).then((elsewhere) => askToken(token !== null, elsewhere)).finally(() => { asking = null; });
      const given = await asking;
      if (given === null) throw await refusal(response);
      sessionStorage.setItem(TOKEN, given);
      caller = null;
      document.dispatchEvent(new Event("token"));
    }
  }
}

async function refusal(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // Something between here and the service answered.
  }
  const failure = new Failure(problem, response.status, response.headers.get("x-request-id"));
  if (response.status === 429 || response.status === 503) failure.wait = Number(response.headers.get("retry-after")) || null;
  return failure;
}

async function checked(url, options) {
  const response = await send(url, options);
  if (!response.ok) throw await refusal(response);
  return response;
}

/** JSON of a resource. `everywhere`: whatever the codebook. */
export async function get(path, params, { signal, everywhere } = {}) {
  return (await checked(address(path, params, everywhere), { signal })).json();
}

/** A resource's text. */
export async function getText(path, signal) {
  return (await checked(address(path, {}, true), { signal })).text();
}

/** Posts JSON; `null` for an empty answer. `everywhere`: whatever the codebook. */
export async function post(path, body, { signal, key, everywhere } = {}) {
  const headers = { "content-type": "application/json" };
  if (key) headers["idempotency-key"] = key;
  const text = body === undefined ? "" : JSON.stringify(body);
  const response = await checked(address(path, {}, everywhere), { method: "POST", headers, body: text, signal });
  return response.status === 204 ? null : response.json();
}

/** JSON of a resource, and the tag of what it is now. */
export async function getTagged(path, { signal } = {}) {
  const response = await checked(address(path), { signal });
  return { body: await response.json(), tag: response.headers.get("etag") };
}

/** Changes a resource as it was seen: refused if it is another by now than its tag says. */
export async function change(method, path, body, tag) {
  const headers = { "if-match": tag };
  if (body !== undefined) headers["content-type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  return (await checked(address(path), { method, headers, body: text })).json();
}

/** Deletes a resource. */
export async function remove(path) {
  const response = await checked(address(path), { method: "DELETE" });
  return response.status === 204 ? null : response.json();
}

/** The service's readiness: `{status, model}`, whatever the status code. */
export async function readiness(signal) {
  return (await fetch(`${BASE}/health/ready`, { signal })).json();
}

/** Whether the service answers at all within the time. */
export async function alive(ms) {
  try {
    return (await fetch(`${BASE}/health/live`, { signal: AbortSignal.timeout(ms), cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

/** Server-sent events of a response: yields `[name, data]`. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      let name = "message";
      const data = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      }
      // Lines with a colon in front are signs of life.
      if (data.length > 0) yield [name, JSON.parse(data.join("\n"))];
    }
  }
}

/** Asks; yields the events `retrieval`, of a reasoning model `thinking`…, `token`…, `done`, whose `request` names the answer. */
export async function* query(body, signal) {
  const response = await checked(address("/query"), {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...body, stream: true }), signal,
  });
  for await (const [name, data] of events(response)) {
    if (name === "error") throw new Failure(data, data.status, response.headers.get("x-request-id"));
    if (name === "done") data.request = response.headers.get("x-request-id");
    yield [name, data];
    if (name === "done") return;
  }
  throw new Failure({ type: "broken-off" }, 0);
}

/** Follows a job to its end, through interruptions; yields the job as it becomes. */
export async function* follow(id, signal) {
  for (;;) {
    try {
      const response = await checked(address(`/jobs/${id}/events`, {}, true), { signal });
      for await (const [name, job] of events(response)) {
        yield job;
        if (name !== "progress") return;
      }
    } catch (error) {
      const gone = error instanceof TypeError || error.status === 0 || error.status === 503;
      if (!gone) throw error;
    }
    // The service is being restarted; the job goes on with it.
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
}

/** Something an `img` can show. Where a token is needed the browser can't fetch it by itself, so it is fetched here. */
export async function imageSource(path) {
  if (!hasToken()) return BASE + path;
  return URL.createObjectURL(await (await checked(path)).blob());
}

/** Address of a stored picture, or of a part of it. */
export function imagePath(id, area) {
  const params = area ? { x: area.x, y: area.y, width: area.width, height: area.height } : {};
  // A part is of pixels, and how they are read is the codebook's.
  return address(`/images/${id}`, params, !area);
}

const edits = new Map();

/** An edit that something refers to; asked for once a page. `null` when it is gone. */
export function editOf(id) {
  const key = `${codebook}/${id}`;
  if (!edits.has(key)) {
    const asked = get(`/edits/${id}`).catch((error) => {
      edits.delete(key);
      if (error.status === 404) return null;
      throw error;
    });
    edits.set(key, asked);
  }
  return edits.get(key);
}
