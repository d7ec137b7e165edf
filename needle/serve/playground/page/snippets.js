// Pieces of JSON to insert into the tools, each valid where its words say it goes.

const argument = (name, schema) => `"${name}": ${JSON.stringify(schema)}`;

export const SNIPPETS = {
  tool: ["a tool (into the list)", `{
  "name": "send_message",
  "description": "Send a text message.",
  "parameters": {
    "type": "object",
    "properties": {
      "recipient": {"type": "string", "description": "who gets it"},
      "text": {"type": "string", "description": "what it says"}
    },
    "required": ["recipient", "text"]
  }
}`],
  text: ["an argument: text", argument("label", { type: "string", description: "a name for it" })],
  choice: ["an argument: one of several words", argument("mode", { type: "string", enum: ["slow", "fast"], description: "how" })],
  whole: ["an argument: whole number from 0 to 100", argument("percent", { type: "integer", minimum: 0, maximum: 100 })],
  number: ["an argument: number", argument("price", { type: "number", minimum: 0 })],
  flag: ["an argument: true or false", argument("enabled", { type: "boolean", description: "switch it on" })],
  date: ["an argument: date", argument("date", { type: "string", format: "date", description: "the day" })],
  time: ["an argument: time of day", argument("time", { type: "string", format: "time", description: "24-hour clock, HH:MM" })],
  list: ["an argument: list of texts", argument("items", { type: "array", items: { type: "string" }, description: "one or more" })],
  object: ["an argument: an object of its own", argument("price", { type: "object", properties: { amount: { type: "number" }, currency: { type: "string" } }, required: ["amount"] })],
};

/** Text and caret after putting a piece at `start`..`end`; commas are added where its neighbours need them. */
export function inserted(text, start, end, piece) {
  const before = text.slice(0, start), after = text.slice(end);
  const last = before.trimEnd().at(-1), next = after.trimStart()[0];
  const open = last && !"[{,:".includes(last) ? ", " : "";
  const close = next && !"]},:".includes(next) ? ", " : "";
  return { text: before + open + piece + close + after, caret: start + open.length + piece.length };
}
