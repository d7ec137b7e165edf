// Reading a JSON Schema for people: its type in words, and the parts that a form needs.

/** The schema with a local $ref followed. */
export function resolved(schema, root) {
  for (let depth = 0; schema && typeof schema === "object" && typeof schema.$ref === "string" && depth < 8; depth++) {
    let found = root;
    for (const part of schema.$ref.replace(/^#\/?/, "").split("/").filter(Boolean)) {
      found = found?.[decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")];
    }
    const { $ref, ...beside } = schema;
    schema = { ...(found ?? {}), ...beside };
  }
  return schema && typeof schema === "object" ? schema : {};
}

const WORDS = { string: "text", integer: "whole number", number: "number", boolean: "true or false", object: "object", null: "null" };

/** What a value may be, in a few words. */
export function describe(schema, root = schema, depth = 0) {
  const item = resolved(schema, root);
  if (depth > 3) return "value";
  if (Array.isArray(item.enum)) return item.enum.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join(" | ");
  if ("const" in item) return JSON.stringify(item.const);
  for (const key of ["anyOf", "oneOf", "allOf"]) {
    if (Array.isArray(item[key])) return item[key].map((part) => describe(part, root, depth + 1)).join(" or ");
  }
  const kinds = [item.type ?? "value"].flat();
  return kinds.map((kind) => oneKind(kind, item, root, depth)).join(" or ");
}

function oneKind(kind, item, root, depth) {
  if (kind === "array") return `list of ${item.items ? describe(item.items, root, depth + 1) : "values"}`;
  if (kind === "object" && item.properties) {
    return `{${Object.entries(item.properties).map(([key, value]) => `${key}: ${describe(value, root, depth + 1)}`).join(", ")}}`;
  }
  const words = [item.format && kind === "string" ? item.format : WORDS[kind] ?? kind];
  const low = item.minimum ?? item.exclusiveMinimum, high = item.maximum ?? item.exclusiveMaximum;
  if (low !== undefined && high !== undefined) words.push(`${low} to ${high}`);
  else if (low !== undefined) words.push(`from ${low}`);
  else if (high !== undefined) words.push(`to ${high}`);
  if (item.pattern) words.push(`like ${item.pattern}`);
  return words.join(" ");
}

/** The arguments of a tool: name, schema, whether it must be given. */
export function argumentsOf(tool) {
  const required = new Set(tool.parameters?.required ?? []);
  return Object.entries(tool.parameters?.properties ?? {}).map(([name, schema]) => ({
    name, schema: resolved(schema, tool.parameters), required: required.has(name),
    words: describe(schema, tool.parameters), description: resolved(schema, tool.parameters).description ?? "",
  }));
}
