// Formats that a description tells in words ("MM/DD/YYYY") and values written so: needle/tools/described.py.

const DAY = "(?:Y{4}|YY|MM?|DD?)(?:[-/. ]?(?:Y{4}|YY|MM?|DD?)){2}";
const CLOCK = "HH?:mm(?::ss)?(?: ?(?:AM/PM|AM|PM|a|tt)\\b)?";
const TOLD = new RegExp(`(?<![A-Za-z\\d])(?:(?<day>${DAY})(?:(?<joint>T| |'T'|, )(?<moment>${CLOCK})(?<zone>Z?))?|(?<clock>${CLOCK}))(?![A-Za-z\\d])`, "gi");
const EXAMPLE = /(?<![\d-])\d{4}-\d\d-\d\d(?![\d-])(?!(?:T| )\d)/g;
const FREE = /\b(?:today|tomorrow|yesterday|now|relative|natural|weekday|range|list|comma|separated)\b/i;
const DEFAULT = /\b(?:by default|defaults?)\b[^.;)]*/gi;
const FIELD = /YYYY|YY|MM|M|DD|D|hh|h|mm|ss|p/g;
const STANDARD = /^(?:(\d{4})-(\d\d)-(\d\d))?T?(?:(\d\d):(\d\d)(?::(\d\d))?)?Z?$/;

/** The one form that a schema's description tells, `{format, template}`, or null. */
export function described(schema) {
  if (schema === null || typeof schema !== "object" || ["format", "pattern", "enum", "const"].some((key) => key in schema)) return null;
  const { type, description } = schema;
  const texts = type === "string" || (Array.isArray(type) && type.length === 2 && type[0] === "string" && type[1] === "null");
  const text = typeof description === "string" ? description.replace(DEFAULT, "") : null;
  if (!texts || text === null || FREE.test(text)) return null;
  const told = [...text.matchAll(TOLD)];
  if (!told.length && [...text.matchAll(EXAMPLE)].length === 1 && /\b(?:date|day)\b/i.test(text)) return { format: "date", template: "YYYY-MM-DD" };
  return told.length === 1 ? formOf(told[0].groups) : null;
}

function formOf({ day: days, joint, moment, zone, clock: alone }) {
  const day = (days ?? "").toUpperCase(), told = moment || alone || "";
  if (day && [...new Set(day.match(FIELD).map((field) => field[0]))].sort().join("") !== "DMY") return null;
  const half = / ?(?:am\/pm|am|pm|a|tt)$/i.exec(told);
  const clock = half ? `${told.slice(0, half.index).toLowerCase()}${half[0].startsWith(" ") ? " " : ""}p` : told.toLowerCase();
  if (!day) return { format: "time", template: clock };
  if (!clock) return { format: "date", template: day };
  return { format: "date-time", template: day + joint.replaceAll("'", "") + clock + zone.toUpperCase() };
}

/** A value of JSON Schema's format as a form wants it; what is no such value stays. */
export function written({ format, template }, standard) {
  const match = STANDARD.exec(standard);
  if (!match || (match[1] === undefined) !== (format === "time") || (match[4] === undefined) !== (format === "date")) return standard;
  const [year, month, day, hour, minute, second] = match.slice(1).map((part) => part ?? "00");
  const clock = template.includes("p") ? String(((Number(hour) + 11) % 12) + 1).padStart(2, "0") : hour;
  const plain = (digits) => String(Number(digits));
  const fields = { YYYY: year, YY: year.slice(2), MM: month, M: plain(month), DD: day, D: plain(day), hh: clock, h: plain(clock), mm: minute, ss: second, p: hour < "12" ? "AM" : "PM" };
  return template.replace(FIELD, (field) => fields[field]);
}

/** The tools with the `format` that descriptions tell. */
export const withFormats = (tools) => tools.map((tool) => ({ ...tool, parameters: formed(tool.parameters) }));

function formed(schema) {
  if (schema === null || typeof schema !== "object" || Array.isArray(schema)) return schema;
  const form = described(schema);
  if (form) return { ...schema, format: form.format };
  const changed = { ...schema }, { properties, items } = schema;
  if (properties !== null && typeof properties === "object") changed.properties = Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, formed(value)]));
  if (items !== undefined) changed.items = formed(items);
  return changed;
}

/** Calls over `withFormats(tools)` as `tools` describe their values. */
export function asDescribed(calls, tools) {
  const schemas = new Map(tools.map((tool) => [tool.name, tool.parameters]));
  return calls.map((call) => ({ ...call, arguments: changed(call.arguments, schemas.get(call.name)) }));
}

function changed(value, schema) {
  if (schema === null || typeof schema !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => changed(item, schema.items));
  if (typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, changed(item, schema.properties?.[key])]));
  const form = typeof value === "string" ? described(schema) : null;
  return form ? written(form, value) : value;
}
