"use strict";
// Renders the contract and sends requests. No library, nothing from elsewhere. Text is only ever set as text.

// Where the service is on this host: "", or the path below which a proxy shows it.
const BASE = new URL("..", document.currentScript.src).pathname.replace(/\/$/, "");

const $ = (id) => document.getElementById(id);

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

let spec;

function deref(schema) {
  let seen = 0;
  while (schema && schema.$ref && seen++ < 20) {
    schema = schema.$ref.split("/").slice(1).reduce((at, key) => at && at[key], spec);
  }
  return schema && schema.allOf ? merged(schema.allOf) : schema || {};
}

/** One schema of several that hold together; what stands last comes first. */
function merged(parts) {
  const all = parts.map(deref).reverse();
  return {
    type: "object",
    properties: Object.assign({}, ...all.map((one) => one.properties)),
    required: all.flatMap((one) => one.required || []),
  };
}

function variants(schema) {
  const list = schema.oneOf || schema.anyOf;
  return list && list.filter((one) => one.type !== "null");
}

function typeName(schema) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const options = variants(schema);
  if (options) return options.map(typeName).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (Array.isArray(schema.type)) return schema.type.filter((type) => type !== "null").join(" | ");
  if (schema.type === "array") return typeName(schema.items) + "[]";
  return schema.format || schema.type || "any";
}

function isArray(schema) {
  return schema.type === "array" || (Array.isArray(schema.type) && schema.type.includes("array"));
}

function example(schema, depth = 0) {
  const given = schema && schema.example;
  schema = deref(schema);
  if (given !== undefined) return given;
  if (schema.example !== undefined) return schema.example;
  const options = variants(schema);
  if (options) return example(options[options.length - (options.length > 2 ? 3 : 1)], depth);
  if (schema.enum) return schema.enum[0];
  if (isArray(schema)) return depth > 4 ? [] : [example(schema.items, depth + 1)];
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  if (type === "object" || schema.properties) {
    const value = {};
    for (const [name, property] of Object.entries(schema.properties || {})) value[name] = example(property, depth + 1);
    return value;
  }
  return { string: "", integer: schema.minimum || 0, number: 0, boolean: false }[type] ?? null;
}

function schemaView(schema, depth = 0) {
  const target = deref(schema);
  const list = el("ul", { class: "schema" });
  const options = variants(target);
  if (options && options.length === 1) return schemaView(options[0], depth);
  if (options) {
    for (const option of options) list.append(el("li", {}, el("span", { class: "type" }, "one of: " + typeName(option)), nested(option, depth)));
    return list;
  }
  if (isArray(target)) return schemaView(target.items, depth);
  for (const [name, property] of Object.entries(target.properties || {})) {
    const needed = (target.required || []).includes(name);
    list.append(el("li", {},
      el("code", { class: needed ? "need" : "" }, name), " ",
      el("span", { class: "type" }, typeName(property)), " ",
      property.description || deref(property).description || "",
      nested(property, depth)));
  }
  return list;
}

function nested(schema, depth) {
  const target = deref(schema);
  const inner = isArray(target) ? deref(target.items) : target;
  if (depth > 3 || !(inner.properties || variants(inner))) return null;
  return el("details", {}, el("summary", {}, "fields"), schemaView(inner, depth + 1));
}

function fileToBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function shorten(value) {
  return JSON.stringify(value, (_, v) => (typeof v === "string" && v.length > 300 ? v.slice(0, 60) + `… (${v.length} characters)` : v), 2);
}

async function show(response, out) {
  const type = (response.headers.get("content-type") || "").split(";")[0];
  const head = el("p", {}, el("span", { class: "status " + (response.ok ? "ok" : "no") }, `${response.status} ${response.statusText}`),
    ` ${type}`, response.headers.get("location") ? ` · Location: ${response.headers.get("location")}` : "",
    ` · ${response.headers.get("x-request-id") || ""}`);
  out.replaceChildren(head);
  if (type === "text/event-stream") {
    const pre = el("pre");
    out.append(pre);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      pre.append(value);
      pre.scrollTop = pre.scrollHeight;
    }
  }
  if (type.startsWith("image/") || type === "application/x-tar") {
    const url = URL.createObjectURL(await response.blob());
    out.append(type.startsWith("image/") ? el("img", { src: url, class: "answer", alt: "answer" })
      : el("a", { href: url, download: "codebook.tar" }, "Save the archive"));
    return;
  }
  const text = await response.text();
  let shown = text;
  if (type.endsWith("json")) { try { shown = shorten(JSON.parse(text)); } catch { /* shown as it came */ } }
  if (shown) out.append(el("pre", {}, shown));
}

function operationView(path, method, operation) {
  const id = operation.operationId || method + path;
  const content = operation.requestBody && operation.requestBody.content;
  const json = content && content["application/json"];
  const uploads = json || !content ? [] : Object.keys(content).sort();
  const inputs = (operation.parameters || []).map((parameter) => ({
    parameter,
    input: el("input", {
      type: "text",
      placeholder: String(deref(parameter.schema).default ?? ""),
      "aria-label": parameter.name,
    }),
  }));
  const inside = el("div", { class: "inside" });
  if (operation.description) inside.append(el("p", {}, operation.description));
  if (inputs.length) {
    inside.append(el("h3", {}, "Parameters"), el("table", {}, el("tbody", {}, ...inputs.map(({ parameter, input }) =>
      el("tr", {}, el("td", {}, el("code", { class: parameter.required ? "need" : "" }, parameter.name)),
        el("td", {}, parameter.in), el("td", {}, parameter.description || ""), el("td", {}, input))))));
  }
  let body = null;
  let file = null;
  if (json) {
    inside.append(el("h3", {}, "Body"), schemaView(json.schema));
    const value = example(json.schema);
    if (value.image) value.image = { data: "choose a file below" };
    for (const optional of ["metadata", "tags", "author", "verify", "stream", "compare", "explain", "retrieval", "max_tokens"]) {
      const schema = deref(json.schema).properties || {};
      if (optional in value && !(schema[optional] && schema[optional].example !== undefined)) delete value[optional];
    }
    if ("reasoning" in value) value.reasoning = ["The lesion has an irregular border."];
    body = el("textarea", { value: JSON.stringify(value, null, 2), spellcheck: false, "aria-label": "Body" });
    file = el("input", { type: "file", accept: "image/*", "aria-label": "Picture" });
    inside.append(body, el("div", { class: "row" }, el("label", {}, "Picture ", file)));
  } else if (uploads.length) {
    file = el("input", { type: "file", "aria-label": "File" });
    inside.append(el("div", { class: "row" }, el("label", {}, `File (${uploads.join(" or ")}) `, file)));
  }
  const out = el("div", { "aria-live": "polite" });
  const build = async () => {
    let target = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { parameter, input } of inputs) {
      const value = input.value.trim();
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (value && parameter.in === "query") query.set(parameter.name, value);
      else if (value && parameter.in === "header") headers[parameter.name] = value;
    }
    const takesCodebook = inputs.some(({ parameter }) => parameter.name === "codebook");
    if (takesCodebook && $("codebook").value && !query.has("codebook")) query.set("codebook", $("codebook").value);
    if ($("token").value) headers.Authorization = "Bearer " + $("token").value;
    const options = { method: method.toUpperCase(), headers };
    if (body) {
      headers["Content-Type"] = "application/json";
      options.body = body.value;
      if (file.files[0]) {
        const value = JSON.parse(body.value);
        value.image = { data: await fileToBase64(file.files[0]) };
        options.body = JSON.stringify(value);
      }
    } else if (uploads.length) {
      const archive = uploads.find((type) => type.endsWith("tar"));
      const lines = uploads.find((type) => !type.endsWith("tar"));
      headers["Content-Type"] = (file.files[0]?.name.endsWith(".tar") && archive) || lines || archive;
      options.body = file.files[0];
    }
    return [BASE + target + (query.size ? "?" + query : ""), options];
  };
  const send = el("button", {}, "Send");
  const stop = el("button", { class: "quiet", disabled: true }, "Stop");
  send.addEventListener("click", async () => {
    const controller = new AbortController();
    stop.onclick = () => controller.abort();
    send.disabled = true;
    stop.disabled = false;
    out.replaceChildren(el("p", {}, "…"));
    const begun = performance.now();
    try {
      const [url, options] = await build();
      await show(await fetch(url, { ...options, signal: controller.signal }), out);
      out.append(el("p", { class: "type" }, `${Math.round(performance.now() - begun)} ms`));
    } catch (error) {
      out.append(el("p", { class: "status no" }, String(error)));
    }
    send.disabled = false;
    stop.disabled = true;
  });
  const curl = el("button", { class: "quiet", onclick: async () => {
    let [url, options] = ["", {}];
    try { [url, options] = await build(); } catch (error) { out.replaceChildren(el("p", { class: "status no" }, String(error))); return; }
    const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
    let line = `curl -X ${options.method} ${quote(location.origin + url)}`;
    for (const [name, value] of Object.entries(options.headers)) line += ` -H ${quote(name + ": " + value)}`;
    if (typeof options.body === "string") line += options.body.length > 4000 ? " -d @body.json" : ` -d ${quote(options.body)}`;
    else if (uploads.length) line += " -T " + quote(file.files[0]?.name ?? "FILE");
    out.replaceChildren(el("pre", {}, line));
  } }, "As curl");
  inside.append(el("div", { class: "row" }, send, stop, curl), out);
  const answers = el("table", {}, el("tbody", {}, ...Object.entries(operation.responses || {}).map(([status, response]) => {
    const media = Object.entries(response.content || {});
    return el("tr", {}, el("td", {}, el("code", {}, status)), el("td", {}, response.description || "",
      ...media.filter(([type]) => type === "application/json").map(([, { schema }]) => nested(schema, 0) || "")),
      el("td", {}, media.map(([type]) => type).join(", ")));
  })));
  inside.append(el("details", {}, el("summary", {}, "Answers"), answers));
  return el("details", { class: "operation", id }, el("summary", {},
    el("span", { class: "method " + method }, method.toUpperCase()), el("span", { class: "path" }, path),
    el("span", { class: "soft" }, operation.summary || "")), inside);
}

async function readiness() {
  const badge = $("ready");
  try {
    const response = await fetch(BASE + "/health/ready");
    const state = await response.json();
    badge.className = "badge " + (response.ok ? "ok" : "no");
    badge.textContent = response.ok ? `ready · ${state.model ? state.model.name : ""}` : state.status;
  } catch {
    badge.className = "badge no";
    badge.textContent = "not reachable";
  }
  setTimeout(readiness, 5000);
}

async function begin() {
  readiness();
  spec = await (await fetch(BASE + "/openapi.json")).json();
  $("title").textContent = `${spec.info.title} ${spec.info.version}`;
  $("about").textContent = spec.info.description || "";
  const byTag = new Map((spec.tags || []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const method of ["get", "post", "delete"]) {
      if (!item[method]) continue;
      const tag = (item[method].tags || ["other"])[0];
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push([path, method, item[method]]);
    }
  }
  for (const [tag, operations] of byTag) {
    $("nav").append(el("h2", {}, tag));
    for (const [path, method, operation] of operations) {
      const view = operationView(path, method, operation);
      $("operations").append(view);
      $("nav").append(el("a", { href: "#" + view.id, onclick: () => { view.open = true; } },
        el("span", { class: "method " + method }, method.toUpperCase() + " "), path));
    }
  }
  const chosen = location.hash && $(decodeURIComponent(location.hash.slice(1)));
  if (chosen) { chosen.open = true; chosen.scrollIntoView(); }
}

begin().catch((error) => { $("about").textContent = "The contract could not be read: " + error; });
