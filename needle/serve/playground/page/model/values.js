// JSON Schema to grammar nodes, as needle/student/grammar.py closes and bounds schemas: keys in the schema's order, no
// spaces, unknown keys refused, open strings, arrays and numbers bounded. What cannot be kept throws `Unsupported`.

import { END, Numeral, Text, literal, once } from "./nodes.js";
import { bounds } from "./numbers.js";
import { Pattern, Unsupported } from "./pattern.js";

const MOST_CHARACTERS = 240, MOST_ITEMS = 24, MOST_DEPTH = 32;
const KINDS = ["object", "array", "string", "number", "boolean", "null"];
const CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]", FOURTH = "(0[48]|[2468][048]|[13579][26])";
const DAY = "((000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
  + "-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
  + `|([0-9]{2}${FOURTH}|${FOURTH}00)-02-29)`;
const LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
/** Formats as patterns; a test holds the first five equal to those of the Python grammar. */
export const FORMATS = {
  "time": `^${CLOCK}(:[0-5][0-9])?$`,
  "date": `^${DAY}$`,
  "date-time": `^${DAY}T${CLOCK}(:[0-5][0-9])?Z?$`,
  "email": `^[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@${LABEL}(\\.${LABEL}){0,4}$`,
  "uri": "^[a-z][a-z0-9+.-]{0,15}:[!#-;=?-Z_a-z~]{1,240}$",
  "uuid": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
  "ipv4": `^${BYTE}(\\.${BYTE}){3}$`,
  "ipv6": "^[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){7}$",
  "hostname": `^${LABEL}(\\.${LABEL}){0,4}$`,
  "duration": "^P([0-9]{1,4}W|[0-9]{1,4}D(T[0-9]{1,4}[HMS])?|T([0-9]{1,4}H([0-9]{1,4}M)?|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}S))$",
};
const patterns = new Map();

function pattern(source) {
  if (!patterns.has(source)) patterns.set(source, new Pattern(source));
  return patterns.get(source);
}

/** Nodes for a tool's arguments. */
export function argumentsNodes(tool, then = () => [END]) {
  return objectNodes({ properties: {}, type: "object", ...tool.parameters }, tool.parameters ?? {}, then, 0);
}

function resolve(schema, root) {
  for (let steps = 0; schema && typeof schema === "object" && typeof schema.$ref === "string"; steps++) {
    if (steps > 16 || !schema.$ref.startsWith("#")) throw new Unsupported(`the reference ${schema.$ref} cannot be followed`);
    let found = root;
    for (const step of schema.$ref.slice(1).split("/").slice(1)) found = found?.[step.replaceAll("~1", "/").replaceAll("~0", "~")];
    const { $ref, ...beside } = schema;
    schema = found && typeof found === "object" ? { ...found, ...beside } : beside;
  }
  return schema;
}

/** Nodes for any value that fits `schema`. */
export function valueNodes(schema, root, then, depth) {
  if (schema === false) return [];
  schema = resolve(schema === true || schema === undefined ? {} : schema, root);
  if (depth > MOST_DEPTH) return [];
  if (Array.isArray(schema.enum)) return schema.enum.filter((one) => fits(one, schema)).flatMap((one) => literal(JSON.stringify(one), then));
  if ("const" in schema) return literal(JSON.stringify(schema.const), then);
  for (const key of ["anyOf", "oneOf"]) {
    if (Array.isArray(schema[key])) {
      const { [key]: branches, ...base } = schema;
      return branches.flatMap((branch) => valueNodes(merged(base, resolve(branch, root)), root, then, depth));
    }
  }
  if (Array.isArray(schema.allOf)) {
    const { allOf, ...base } = schema;
    return valueNodes(allOf.map((part) => resolve(part, root)).reduce(merged, base), root, then, depth);
  }
  return [schema.type ?? kindsOf(schema)].flat().flatMap((kind) => kindNodes(kind, schema, root, then, depth));
}

/** Kinds of a schema that does not say its type. */
function kindsOf(schema) {
  return schema.properties ? ["object"] : schema.items || schema.prefixItems ? ["array"] : KINDS;
}

function fits(value, schema) {
  if (!schema.type) return true;
  const kind = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const kinds = [schema.type].flat();
  return kinds.includes(kind) || (kind === "number" && Number.isInteger(value) && kinds.includes("integer"));
}

/** Two schemas for one value as one; where both say a thing, the second holds. */
function merged(base, branch) {
  if (branch === false) return { enum: [] };
  const result = { ...base, ...branch };
  if (base.properties || branch.properties) result.properties = { ...base.properties, ...branch.properties };
  if (base.required || branch.required) result.required = [...new Set([...(base.required ?? []), ...(branch.required ?? [])])];
  if (base.enum && branch.enum) result.enum = base.enum.filter((one) => branch.enum.some((other) => JSON.stringify(other) === JSON.stringify(one)));
  return result;
}

function kindNodes(kind, schema, root, then, depth) {
  switch (kind) {
    case "string": return literal('"', () => [new Text(textRule(schema), then)]);
    case "integer": return [new Numeral(bounds(schema, true), then)];
    case "number": return [new Numeral(bounds(schema, false), then)];
    case "boolean": return [...literal("true", then), ...literal("false", then)];
    case "null": return literal("null", then);
    case "array": return arrayNodes(schema, root, then, depth + 1);
    case "object": return objectNodes(schema, root, then, depth + 1);
    default: throw new Unsupported(`the type ${JSON.stringify(kind)} is unknown`);
  }
}

function textRule(schema) {
  const source = schema.pattern ?? FORMATS[schema.format];
  const least = schema.minLength ?? 0, most = schema.maxLength ?? (source ? Infinity : Math.max(MOST_CHARACTERS, least));
  return { least, most, pattern: source ? pattern(source) : null };
}

function arrayNodes(schema, root, then, depth) {
  const least = schema.minItems ?? 0, most = schema.maxItems ?? Math.max(MOST_ITEMS, least);
  const first = schema.prefixItems ?? [], rest = schema.items ?? (first.length ? false : {});
  const item = (place, after) => valueNodes(place < first.length ? first[place] : rest, root, after, depth);
  const following = (count) => [
    ...(count >= least ? literal("]", then) : []),
    ...(count < most && (count < first.length || rest !== false) ? literal(",", once(() => item(count, once(() => following(count + 1))))) : []),
  ];
  return literal("[", once(() => [
    ...(least === 0 ? literal("]", then) : []),
    ...(most > 0 ? item(0, once(() => following(1))) : []),
  ]));
}

function objectNodes(schema, root, then, depth) {
  const entries = Object.entries(schema.properties ?? {}), required = new Set(schema.required ?? []);
  const lacking = [...required].filter((key) => !(key in (schema.properties ?? {})));
  for (const key of lacking) entries.push([key, {}]);
  const open = schema.additionalProperties ?? (schema.properties || schema.unevaluatedProperties === false ? false : {});
  const keyRule = { least: 0, most: MOST_CHARACTERS, pattern: null, unlike: new Set(entries.map(([key]) => key)) };
  const comma = (isFirst) => (isFirst ? "" : ",");
  const extra = (count) => (open === false || count >= MOST_ITEMS ? [] : literal(`${comma(count === 0)}"`, () => [new Text(keyRule, () => literal(":",
    once(() => valueNodes(open, root, once(() => [...literal("}", then), ...extra(count + 1)]), depth))))]));
  const members = (from, isFirst) => {
    const found = [];
    for (let at = from; at < entries.length; at++) {
      const [key, value] = entries[at];
      found.push(...literal(`${comma(isFirst)}${JSON.stringify(key)}:`, once(() => valueNodes(value, root, once(() => members(at + 1, false)), depth))));
      if (required.has(key)) return found;
    }
    return [...found, ...literal("}", then), ...extra(isFirst ? 0 : 1)];
  };
  return literal("{", once(() => members(0, true)));
}
