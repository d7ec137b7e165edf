// One row in full: request, what was due beside what each run did, argument by argument, tools, outputs.
const LETTERS = ["A", "B"];
const CUT = 3000;
const FINE = { default_equivalent: "a default, fine", excused: "also accepted" };
const FAULTS = { wrong_value: "differs", missing: "left out", missing_optional: "left out", missing_required: "left out", extra: "not asked for", extra_optional: "not asked for" };
const SCHEMA = new Set(["wrong_type", "enum_violation", "out_of_range", "pattern_or_format", "nested_schema", "null_for_required"]);

// A long text is cut, with a button that shows the rest.
function long(tag, className, text) {
  text = visible(text);
  const box = make(tag, className, text.length > CUT ? `${text.slice(0, CUT)}… ` : text);
  box.dir = "auto";
  if (text.length > CUT) {
    const more = make("button", "code", `show all ${text.length.toLocaleString("en")} characters`);
    more.type = "button";
    more.addEventListener("click", () => { box.textContent = text; });
    box.append(more);
  }
  return box;
}

function folded(title, ...content) {
  return make("details", "", make("summary", "", title), ...content);
}

const badge = (place) => (data.runs.length > 1 ? make("span", `badge ${LETTERS[place].toLowerCase()}`, LETTERS[place]) : null);

// What is said of an argument: faults of this very path or of one inside it or around it.
function said(answer, side, call, path) {
  const here = `${call}.${path}`;
  const fits = (at) => at && (at === here || at.startsWith(`${here}.`) || here.startsWith(`${at}.`)) && at.includes(".");
  const list = ((answer && answer.details) || []).filter((one) => fits(one[side]) || (!one[side] && fits(one.got)));
  for (const one of list) one.told = true;
  return [...new Map(list.map((one) => [one.code, one])).values()].filter((one) => one.code !== "default_equivalent");
}

function reasons(list, fallback) {
  const lines = list.filter((one) => !(one.code === "wrong_value" && list.length > 1));
  if (!lines.length) return [make("small", "fault", fallback)];
  return lines.map((one) => make("small", "fault", visible(FAULTS[one.code] || `${data.meanings[one.code] || one.code}${data.meanings[one.code] && SCHEMA.has(one.code) && one.note ? ` (${one.note})` : ""}`)));
}

// Other values that the row accepts in the place of the one shown.
function alsoRight(also, path) {
  const list = also[path] || [];
  if (!list.length) return null;
  const shown = list.slice(0, 4).map((one) => (one === null ? "left out" : written(one))).join(", ");
  return make("small", "fine", `or ${shown}${list.length > 4 ? ` and ${list.length - 4} more` : ""}`);
}

// A row of the table for every leaf of the argument on any side.
function argumentLines(key, sides, view) {
  const flat = sides.map((call) => (call && Object.hasOwn(call.arguments, key) ? flatten(call.arguments[key]) : new Map()));
  const paths = [...new Set(flat.flatMap((side) => [...side.keys()]))];
  return paths.map((inner) => {
    const path = inner ? `${key}.${inner}` : key;
    const line = make("tr", "", make("th", "", visible(path)));
    line.firstChild.scope = "row";
    const origin = (view.row.origins[view.index] || {})[key];
    if (origin && inner === paths[0]) line.firstChild.append(make("small", "fine", origin));
    const due = written(flat[0].get(inner));
    const dueText = make("span", "", due);
    line.append(make("td", "", dueText, alsoRight(view.row.also, `${view.index}.${path}`)));
    sides.slice(1).forEach((call, place) => {
      const pair = view.pairs[place], outcome = pair ? pair[2][key] || "right" : "";
      const got = written(flat[place + 1].get(inner));
      const cell = make("td");
      if (!call) cell.append(make("span", "fine", "no such call"));
      else if (got === due || FINE[outcome]) cell.append(make("span", "fine", got === due ? "same" : `${got} (${FINE[outcome]})`));
      else if (outcome === "right") cell.append(got);
      else {
        const [from, to] = pieces(due, got), whole = due === "–" || got === "–";
        cell.append(whole ? make("span", "fault", got) : marked(to, "ins"));
        if (sides.length === 2 && !whole) dueText.replaceChildren(marked(from, "del"));
        const answer = view.row.answers[place];
        const list = got === "–" ? said(answer, "gold", view.index, path) : said(answer, "got", pair[1], path);
        cell.append(...reasons(list, FAULTS[outcome] || "differs"));
      }
      line.append(cell);
    });
    return line;
  });
}

function callTable(title, sides, heads, view) {
  const keys = [...new Set(sides.flatMap((call) => (call ? Object.keys(call.arguments) : [])))];
  const head = make("tr", "", ...["argument", "due", ...heads].map((text) => { const cell = make("th", "", text); cell.scope = "col"; return cell; }));
  const body = make("tbody", "", ...keys.flatMap((key) => argumentLines(key, sides, view)));
  const box = make("div", "call", title);
  box.append(keys.length ? make("table", "diff", make("thead", "", head), body) : make("p", "note", "no arguments"));
  return box;
}

function calls(row) {
  const box = make("div");
  const heads = data.runs.map((name, place) => (data.runs.length > 1 ? LETTERS[place] : "got"));
  if (row.any) box.append(make("p", "note", "Any call is right here; the one shown as due only stands for that."));
  row.gold.forEach((gold, index) => {
    const pairs = row.answers.map((answer) => (answer.pairs || []).find((pair) => pair[0] === index));
    const gots = pairs.map((pair, place) => pair && row.answers[place].calls[pair[1]]);
    const title = make("h4", "", visible(`${row.gold.length > 1 ? `${index + 1}. ` : ""}${gold.name}`));
    pairs.forEach((pair, place) => {
      const by = data.runs.length > 1 ? ` by ${LETTERS[place]}` : "";
      if (pair && pair[1] !== index) title.append(make("small", "", ` made as call ${pair[1] + 1}${by}`));
      if (!pair && !row.any && !row.answers[place].error) title.append(make("small", "fault", ` not made${by}`));
    });
    box.append(callTable(title, [gold, ...gots], heads, { row, index, pairs }));
  });
  if (!row.gold.length) box.append(make("p", "call", "No call is due."));
  row.answers.forEach((answer, place) => {
    const used = new Set((answer.pairs || []).map((pair) => pair[1]));
    answer.calls.forEach((call, index) => {
      if (used.has(index)) return;
      const title = make("h4", "", badge(place), visible(call.name), make("small", "", row.any ? " called" : " called, not due"));
      const list = make("ul", "findings", ...Object.entries(call.arguments).map(([key, value]) => make("li", "", make("code", "", visible(`${key}: `) + written(value)))));
      box.append(make("div", "call", title, list));
    });
  });
  return box;
}

function answerHead(row, answer, place) {
  const words = { call: "called", no_call: "made no call", silent: "made no call", malformed: "malformed output", infra: "no answer", ask: "asked back", cannot: "declined in words" };
  const line = make("div", "tags", make("span", `mark ${answer.correct ? "yes" : "no"}`, badge(place), answer.correct ? "✓ right" : "✗ wrong"), make("span", "", words[answer.did || answer.decision] || answer.did || answer.decision));
  if (answer.cause) line.append(make("code", "", answer.cause));
  if (answer.confidence !== undefined) line.append(make("span", "", `confidence ${(100 * answer.confidence).toFixed(1)} %`));
  if (answer.seconds !== undefined) line.append(make("span", "", answer.seconds < 1 ? `${(1000 * answer.seconds).toFixed(1)} ms` : `${answer.seconds.toFixed(2)} s`));
  const box = make("div", "", line);
  if (answer.error) box.append(long("p", "note", answer.error));
  return box;
}

// What is not said beside an argument.
function findings(answer, place) {
  const list = (answer.details || []).filter((one) => !one.told);
  if (!list.length) return null;
  const lines = list.map((one) => {
    const note = one.note && one.note !== answer.error ? one.note : "";
    const where = one.got || one.gold ? ` at ${one.got || one.gold}` : "";
    return make("li", "", badge(place), make("code", "", one.code), long("span", "", `${where}: ${[data.meanings[one.code], note].filter(Boolean).join("; ")}`));
  });
  return make("ul", "findings", ...lines);
}

function toolBox(tool, due, called) {
  const box = make("div", `tool${due ? " due" : ""}${called ? " called" : ""}`);
  const said = [due && "due", called && "called"].filter(Boolean).join(", ");
  box.append(make("h4", "", visible(tool.name), said ? make("small", "", ` ${said}`) : null), long("p", "", tool.description || ""));
  const schema = tool.parameters || {}, required = new Set(schema.required || []);
  const lines = Object.entries(schema.properties || {}).map(([name, part]) => {
    const type = part && part.enum ? part.enum.map((one) => JSON.stringify(one)).join(" | ") : [].concat((part && part.type) || "any").join(" | ");
    const standard = part && part.default !== undefined ? `, default ${JSON.stringify(part.default)}` : "";
    return make("li", "", make("code", "", visible(name)), visible(` ${type}${required.has(name) ? ", required" : ""}${standard}`), part && part.description ? make("span", "soft", visible(` – ${part.description}`)) : null);
  });
  if (lines.length) box.append(make("ul", "", ...lines));
  box.append(folded("Schema", long("pre", "", JSON.stringify(schema, null, 1))));
  return box;
}

function toolList(row) {
  const due = new Set(row.gold.map((call) => call.name)), called = new Set(row.answers.flatMap((answer) => answer.calls.map((call) => call.name)));
  const tools = data.toolsets[row.tools].map((place) => data.tools[place]);
  const box = folded(`Tools on offer (${tools.length})`);
  box.addEventListener("toggle", () => {
    if (box.open && box.childElementCount === 1) box.append(...tools.map((tool) => toolBox(tool, due.has(tool.name), called.has(tool.name))));
  });
  return box;
}

// The row as a line of a suite, to be pasted into a file of one's own: failures make good tests.
function copyButton(row) {
  const button = make("button", "code", "Copy as an example row");
  button.type = "button";
  button.addEventListener("click", async () => {
    const tools = data.toolsets[row.tools].map((place) => data.tools[place]);
    const example = { id: row.id, query: row.query, tools, calls: row.gold, kind: row.kind, toolset: row.toolset };
    if (row.system) example.system = row.system;
    if (Object.keys(row.also).length) example.alternatives = row.also;
    const text = JSON.stringify(example);
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.replaceWith(make("pre", "", text)); // where a page may not write to the clipboard
    }
  });
  return button;
}

function detail(row) {
  const box = document.createDocumentFragment();
  box.append(long("p", "request", row.query));
  box.append(make("div", "tags", make("span", "", visible(row.kind)), make("code", "", visible(row.id)), row.toolset ? make("span", "", visible(`toolset ${row.toolset}`)) : null));
  if (row.system) box.append(folded("Told beside the request", long("pre", "", row.system)));
  if (row.context.length) box.append(folded(`Earlier turns (${row.context.length})`, ...row.context.map((place) => long("pre", "", data.contexts[place]))));
  row.answers.forEach((answer, place) => { const head = answerHead(row, answer, place); head.style.marginTop = ".8rem"; box.append(head); });
  box.append(calls(row));
  row.answers.forEach((answer, place) => { const list = findings(answer, place); if (list) box.append(list); });
  box.append(toolList(row));
  row.answers.forEach((answer, place) => {
    const whose = data.runs.length > 1 ? ` of ${LETTERS[place]}` : "";
    if (answer.raw) {
      const output = folded(`Output as it came${whose}`, long("pre", "", answer.raw));
      output.open = Boolean(answer.error);
      box.append(output);
    }
    if (answer.repaired) box.append(folded(`A forgiving reading${whose} (${answer.repaired.correct ? "right" : "wrong"}; ${answer.repaired.steps.join(", ")})`, long("pre", "", JSON.stringify(answer.repaired.calls, null, 1))));
    if (answer.free) box.append(folded(`Without constraints${whose} (${answer.free.correct ? "right" : answer.free.cause || "wrong"})`, long("pre", "", answer.free.raw || "")));
    if (answer.prompt) box.append(folded(`Prompt as it was sent${whose}`, long("pre", "", answer.prompt)));
  });
  if (!row.context.length && !row.any) box.append(make("p", "", copyButton(row)));
  return box;
}
