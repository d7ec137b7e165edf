// The list of rows: filters, keyboard, only the visible part drawn. The state is in the address, so that a view can be sent.
let data = null;
let found = [];
const ITEM = 52; // pixels of an item, as in the style sheet
const state = { outcome: "", kind: "", code: "", tool: "", text: "", sort: "", row: "" };
const haystacks = new Map();

async function load() {
  const packed = Uint8Array.from(atob(byId("data").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function outcome(row) {
  const right = row.answers.map((answer) => answer.correct);
  return right.length > 1 && right[0] !== right[1] ? (right[1] ? "gained" : "lost") : right[0] ? "right" : "wrong";
}

function haystack(row) {
  if (!haystacks.has(row)) {
    const said = row.answers.map((answer) => `${JSON.stringify(answer.calls)} ${answer.raw || ""} ${answer.error || ""}`);
    haystacks.set(row, `${row.id} ${row.toolset} ${row.query} ${JSON.stringify(row.gold)} ${said.join(" ")}`.toLowerCase());
  }
  return haystacks.get(row);
}

const toolNames = (row) => new Set([...row.gold, ...row.answers.flatMap((answer) => answer.calls)].map((call) => call.name));
const codesOf = (row) => new Set(row.answers.flatMap((answer) => answer.codes));
const last = (row) => row.answers[row.answers.length - 1];
const SORTS = {
  sure: ["surest first", (a, b) => (last(b).confidence ?? -1) - (last(a).confidence ?? -1), (row) => last(row).confidence !== undefined],
  unsure: ["least sure first", (a, b) => (last(a).confidence ?? 2) - (last(b).confidence ?? 2), (row) => last(row).confidence !== undefined],
  slow: ["slowest first", (a, b) => (last(b).seconds || 0) - (last(a).seconds || 0), (row) => last(row).seconds !== undefined],
};

function matching() {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = data.rows.filter((row) =>
    (!state.outcome || row.outcome === state.outcome || (state.outcome === "flipped" && (row.outcome === "gained" || row.outcome === "lost"))) &&
    (!state.kind || row.kind === state.kind) &&
    (!state.code || codesOf(row).has(state.code)) &&
    (!state.tool || toolNames(row).has(state.tool)) &&
    words.every((word) => haystack(row).includes(word)));
  return SORTS[state.sort] ? rows.sort(SORTS[state.sort][1]) : rows;
}

function item(row, place) {
  const marks = row.answers.map((answer) => (answer.correct ? "✓" : "✗")).join("");
  const look = { right: "yes", gained: "yes", wrong: "no", lost: "no" }[row.outcome];
  const meta = [row.outcome === "gained" || row.outcome === "lost" ? row.outcome : "", (row.answers.find((answer) => answer.cause) || {}).cause, row.kind, row.id].filter(Boolean).join(" · ");
  const box = make("div", "item", make("span", `mark ${look}`, marks[marks.length - 1]), make("span", "", visible(row.query.slice(0, 200))), make("span", "meta", visible(meta)));
  box.id = `item-${place}`;
  box.style.top = `${place * ITEM}px`;
  box.setAttribute("role", "option");
  box.setAttribute("aria-selected", String(row.id === state.row));
  box.setAttribute("aria-setsize", String(found.length));
  box.setAttribute("aria-posinset", String(place + 1));
  box.setAttribute("aria-label", `${row.outcome}: ${row.query.slice(0, 200)}`);
  box.addEventListener("click", () => choose(place));
  return box;
}

function draw() {
  const list = byId("list");
  const from = Math.max(0, Math.floor(list.scrollTop / ITEM) - 8), to = Math.min(found.length, from + Math.ceil((list.clientHeight || 600) / ITEM) + 16);
  const spacer = make("div");
  spacer.setAttribute("role", "presentation");
  spacer.style.height = `${found.length * ITEM}px`;
  list.replaceChildren(spacer, ...found.slice(from, to).map((row, offset) => item(row, from + offset)));
  const place = found.findIndex((row) => row.id === state.row);
  if (place >= from && place < to) list.setAttribute("aria-activedescendant", `item-${place}`);
  else list.removeAttribute("aria-activedescendant");
}

function remember() {
  const parts = Object.entries(state).filter(([key, value]) => value && !(key === "outcome" && value === first())).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  try { history.replaceState(null, "", `#${parts.join("&") || "rows"}`); } catch { /* some viewers forbid it */ }
}

function choose(place, quiet = false) {
  const row = found[place];
  if (!row) { state.row = ""; byId("detail").replaceChildren(make("p", "note", "No row matches.")); draw(); return; }
  state.row = row.id;
  const list = byId("list"), top = place * ITEM;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ITEM > list.scrollTop + list.clientHeight) list.scrollTop = top + ITEM - list.clientHeight;
  byId("detail").replaceChildren(detail(row));
  byId("detail").scrollTop = 0;
  draw();
  if (!quiet) remember();
}

const first = () => (data.runs.length > 1 ? "flipped" : "wrong");

function refresh(quiet = false) {
  found = matching();
  const whole = data.total > data.rows.length ? ` (the file holds ${data.rows.length.toLocaleString("en")} of ${data.total.toLocaleString("en")} rows, failures first)` : "";
  byId("count").textContent = `${found.length.toLocaleString("en")} ${found.length === 1 ? "row" : "rows"}${whole}`;
  for (const button of document.querySelectorAll("[data-outcome]")) button.setAttribute("aria-pressed", String(button.dataset.outcome === state.outcome));
  for (const key of ["text", "kind", "code", "tool", "sort"]) if (byId(key).value !== state[key]) byId(key).value = state[key];
  byId("clear").hidden = !(state.kind || state.code || state.tool || state.text || state.outcome !== first());
  byId("list").scrollTop = 0;
  choose(Math.max(0, found.findIndex((row) => row.id === state.row)), quiet);
}

function clear() {
  Object.assign(state, { outcome: first(), kind: "", code: "", tool: "", text: "", sort: "" });
  refresh();
}

function offer(select, lists, most = 400) {
  const counts = new Map();
  for (const list of lists) for (const value of list) counts.set(value, (counts.get(value) || 0) + 1);
  for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1]).slice(0, most)) {
    const option = make("option", "", select.id === "tools" ? "" : visible(`${value} (${count})`));
    option.value = value;
    select.append(option);
  }
}

function goTo(where) {
  byId("rows").scrollIntoView({ behavior: "instant" });
  Object.assign(state, { kind: "", code: "", tool: "", text: "" }, where);
  refresh();
  byId("list").focus({ preventScroll: true });
}

function readAddress() {
  const given = new Map(location.hash.slice(1).split("&").filter((part) => part.includes("=")).map((part) => { const cut = part.indexOf("="); return [part.slice(0, cut), safely(part.slice(cut + 1))]; }));
  for (const key of Object.keys(state)) if (given.has(key)) state[key] = given.get(key);
  setTheme(given.get("theme"));
  if (given.has("row") && !given.has("outcome")) state.outcome = "";
  return given.size > 0 && !(given.size === 1 && given.has("theme"));
}

function safely(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function keys(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing) { event.preventDefault(); byId("text").focus(); }
  if (event.key === "Escape" && byId("rows").contains(event.target)) { clear(); byId("list").focus(); }
}

function listKeys(event) {
  const now = found.findIndex((row) => row.id === state.row), page = Math.max(1, Math.floor(byId("list").clientHeight / ITEM) - 1);
  const next = { ArrowDown: now + 1, j: now + 1, ArrowUp: now - 1, k: now - 1, PageDown: now + page, PageUp: now - page, Home: 0, End: found.length - 1 }[event.key];
  if (event.key === "Enter") byId("detail").focus();
  if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  choose(Math.min(found.length - 1, Math.max(0, next)));
}

function listen() {
  let waiting = 0;
  const soon = (key) => (event) => { state[key] = event.target.value; clearTimeout(waiting); waiting = setTimeout(refresh, 90); };
  for (const key of ["text", "tool"]) byId(key).addEventListener("input", soon(key));
  for (const key of ["kind", "code", "sort"]) byId(key).addEventListener("change", (event) => { state[key] = event.target.value; refresh(); });
  for (const button of document.querySelectorAll("[data-outcome]")) button.addEventListener("click", () => { state.outcome = button.dataset.outcome; refresh(); });
  for (const button of document.querySelectorAll("[data-code]")) button.addEventListener("click", () => goTo({ outcome: data.runs.length > 1 ? "" : "wrong", code: button.dataset.code, row: "" }));
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => goTo({ outcome: data.runs.length > 1 ? "" : "wrong", tool: button.dataset.tool, row: "" }));
  for (const link of document.querySelectorAll("[data-row]")) link.addEventListener("click", (event) => { event.preventDefault(); goTo({ outcome: "", row: link.dataset.row }); });
  byId("clear").addEventListener("click", clear);
  byId("list").addEventListener("scroll", draw, { passive: true });
  byId("list").addEventListener("keydown", listKeys);
  document.addEventListener("keydown", keys);
  addEventListener("resize", draw);
  addEventListener("hashchange", () => { if (readAddress()) refresh(true); });
}

async function start() {
  try {
    data = await load();
  } catch (problem) {
    byId("count").textContent = `The rows cannot be unpacked here (${problem.message}); rows.jsonl beside this file has them.`;
    return;
  }
  for (const row of data.rows) row.outcome = outcome(row);
  offer(byId("kind"), data.rows.map((row) => [row.kind]));
  offer(byId("code"), data.rows.map(codesOf));
  offer(byId("tools"), data.rows.map(toolNames));
  for (const [key, [words, , has]] of Object.entries(SORTS)) if (data.rows.some(has)) { const option = make("option", "", words); option.value = key; byId("sort").append(option); }
  byId("kind").hidden = byId("kind").options.length < 3;
  state.outcome = data.rows.some((row) => [first(), "gained", "lost"].includes(row.outcome)) ? first() : "";
  const asked = readAddress();
  listen();
  refresh(true);
  if (asked) byId("rows").scrollIntoView({ behavior: "instant" });
  document.body.dataset.ready = "yes";
}

start();
