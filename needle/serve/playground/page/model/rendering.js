// Tools and requests as token ids, and generated ids as calls: needle/student/rendering.py, number for number.

import { compactExact } from "./exact.js";

const SHORT = { integer: "int", number: "num", boolean: "bool", string: "", null: "null", object: "{}", array: "[]" };
const ROLES = { user: "<user>", assistant: "<assistant>", tool: "<result>" };
const MOST_DEPTH = 4;
const compact = compactExact;
const words = (value) => (typeof value === "string" ? value : compact(value));
export const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** What a `#/...` reference points at inside `root`; empty where that is nothing. */
export function resolve(ref, root) {
  if (typeof ref !== "string" || !ref.startsWith("#")) return {};
  let found = root;
  for (const step of ref.slice(1).split("/").slice(1)) found = found?.[step.replaceAll("~1", "/").replaceAll("~0", "~")];
  return found ?? {};
}

/** Type of one argument in the shortest words. */
function describe(schema, root = schema, depth = 0) {
  if (!isObject(schema) || depth > MOST_DEPTH) return "";
  if ("$ref" in schema) return describe(resolve(schema.$ref, root), root, depth + 1);
  if ("enum" in schema) return schema.enum.map(words).join("|");
  if ("const" in schema) return compact(schema.const);
  for (const key of ["anyOf", "oneOf", "allOf"]) {
    if (key in schema) return schema[key].map((part) => describe(part, root, depth + 1)).filter(Boolean).join("/");
  }
  const kind = schema.type ?? "string";
  if (Array.isArray(kind)) return kind.map((one) => describe({ ...schema, type: one }, root, depth + 1) || "str").join("/");
  if (kind === "array" && "items" in schema) return `[${describe(schema.items, root, depth + 1)}]`;
  if (kind === "object" && Object.keys(schema.properties ?? {}).length) {
    return `{${Object.entries(schema.properties).map(([key, value]) => property(key, value, schema.required ?? [], root, depth + 1)).join(",")}}`;
  }
  let text = SHORT[kind] ?? String(kind);
  if (kind === "string" && schema.format) text = String(schema.format);
  const low = schema.minimum ?? schema.exclusiveMinimum ?? null, high = schema.maximum ?? schema.exclusiveMaximum ?? null;
  if (low !== null || high !== null) text += ` ${low === null ? "" : compact(low)}..${high === null ? "" : compact(high)}`;
  if ("pattern" in schema) text += ` /${schema.pattern}/`;
  return text;
}

function property(key, schema, required, root, depth) {
  const kind = describe(schema, root, depth);
  let text = `${key}${required.includes(key) ? "" : "?"}${kind ? `:${kind}` : ""}`;
  if (isObject(schema)) {
    if ("default" in schema) text += `=${words(schema.default)}`;
    if (schema.description) text += ` ${schema.description}`;
  }
  return text;
}

/** Token ids of a toolset. */
export function renderTools(tokenizer, tools) {
  const ids = tools.length ? [] : [tokenizer.special.get("<tool>")];
  const add = (mark, text) => ids.push(tokenizer.special.get(mark), ...tokenizer.encode(text));
  for (const tool of tools) {
    const required = tool.parameters?.required ?? [];
    add("<tool>", `${tool.name} ${tool.description ?? ""}`.trim());
    for (const [key, schema] of Object.entries(tool.parameters?.properties ?? {})) {
      add(required.includes(key) ? "<param>" : "<optional>", property(key, schema, [key], tool.parameters, 0));
    }
  }
  return ids;
}

/** Token ids of the facts, the earlier turns and the request. */
export function renderRequest(tokenizer, { query, system = "", messages = [] }) {
  const ids = [];
  const add = (mark, text) => ids.push(tokenizer.special.get(mark), ...tokenizer.encode(text));
  if (system) add("<system>", system);
  for (const message of messages) {
    const content = message.content || "";
    const calls = (message.tool_calls ?? []).map((call) => call.function ?? call);
    const said = typeof content === "string" ? content : compact(content);
    add(ROLES[message.role ?? "user"] ?? "<system>", said + calls.map((call) => `${call.name ?? ""}${call.arguments ?? ""}`).join(""));
  }
  add("<request>", query);
  return ids;
}

/** Calls from generated ids, their arguments read by `parse`; throws where they are not well formed. */
export function parseAnswer(tokenizer, ids, tools, parse = JSON.parse) {
  const [call, none, eos] = ["<call>", "<none>", "<eos>"].map((name) => tokenizer.special.get(name));
  if (ids.at(-1) !== eos) throw new Error("truncated: the answer does not end");
  const body = ids.slice(0, -1);
  if (body.length === 1 && body[0] === none) return [];
  if (body[0] !== call) throw new Error("wrong_envelope: the answer starts with neither <call> nor <none>");
  const parts = [];
  for (const id of body) if (id === call) parts.push([]); else parts.at(-1).push(id);
  return parts.map((part) => {
    const text = tokenizer.decode(part);
    const names = tools.map((tool) => tool.name).filter((name) => text.startsWith(`${name}{`)).sort((a, b) => b.length - a.length);
    if (!names.length) throw new Error(`wrong_envelope: no tool is named at the start of ${text}`);
    return { name: names[0], arguments: parse(text.slice(names[0].length)) };
  });
}
