// The tools: text in the editor, checked by the server while it is written; findings, help, and an outline of what is read.

import { api } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { argumentsOf } from "./schema.js";
import { SNIPPETS, inserted } from "./snippets.js";

const WAIT = 350;  // milliseconds without a key before the text is checked

export class Editor {
  /** `changed()` is called whenever the tools are read anew. */
  constructor(changed) {
    this.area = byId("tools");
    this.changed = changed;
    this.tools = null;  // as the server read them; null while the text cannot be read
    this.name = "";
    this.round = 0;
    this.area.addEventListener("input", () => { this.name = ""; this.later(); });
    fill(byId("snippet"), Object.entries(SNIPPETS).map(([key, [words]]) => [key, words]));
    byId("insert").addEventListener("click", () => this.insert(SNIPPETS[byId("snippet").value][1]));
    byId("tidy").addEventListener("click", () => this.tidy());
  }

  /** Show another toolset. */
  async open(text, name = "") {
    this.area.value = text;
    this.name = name;
    await this.check();
  }

  later() {
    clearTimeout(this.timer);
    this.tools = null;
    this.timer = setTimeout(() => this.check(), WAIT);
  }

  /** The tools of the text as it is now, or null. */
  async current() {
    if (this.tools === null) await this.check();
    return this.tools;
  }

  async check() {
    clearTimeout(this.timer);
    const round = ++this.round;
    let found;
    try {
      found = await api.tools(this.area.value);
    } catch (error) {
      found = { error: error.message };
    }
    if (round !== this.round) return;  // the text has changed meanwhile
    this.tools = found.error ? null : found.tools;
    this.exact = found.exact;
    this.area.setAttribute("aria-invalid", found.error ? "true" : "false");
    this.showState(found);
    if (!found.error) this.showOutline(found.tools);
    this.changed();
  }

  showState(found) {
    const state = byId("tools-state");
    state.classList.toggle("bad", Boolean(found.error));
    byId("findings").replaceChildren();
    if (found.error) {
      state.textContent = found.error;
      const place = /line (\d+), column (\d+)/.exec(found.error);
      if (place) {
        const go = make("button", { type: "button", class: "small", onclick: () => this.goTo(+place[1], +place[2]) }, `Go to line ${place[1]}`);
        byId("findings").append(make("li", { class: "error" }, "The text is not JSON there.", go));
      }
      return;
    }
    const tools = found.tools.length, findings = found.findings.length;
    state.textContent = `${tools} ${tools === 1 ? "tool" : "tools"}, ${findings === 0 ? "nothing to mend" : findings === 1 ? "1 finding" : `${findings} findings`}.`;
    for (const finding of found.findings) {
      const go = make("button", { type: "button", class: "small", onclick: () => this.find(finding.tools[0]) }, "Show");
      byId("findings").append(make("li", { class: finding.severity }, make("b", {}, `${finding.severity}: `), finding.message, go));
    }
    for (const note of found.notes) byId("findings").append(make("li", { class: "info" }, make("b", {}, "read: "), note));
  }

  showOutline(tools) {
    byId("outline").replaceChildren(...tools.map((tool) => make("div", { class: "tool" },
      make("h4", {}, make("button", { type: "button", class: "title", onclick: () => this.find(tool.name) }, tool.name)),
      tool.description ? make("p", {}, tool.description) : null,
      make("ul", {}, ...argumentsOf(tool).map((one) => make("li", {},
        make("code", {}, one.name), ` ${one.words}${one.required ? ", must be given" : ""}${one.description ? `: ${one.description}` : ""}`))))));
  }

  goTo(line, column) {
    const place = this.area.value.split("\n").slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
    this.select(place, place + 1);
  }

  /** Put the caret on the first mention of a tool's name. */
  find(name) {
    const place = this.area.value.indexOf(JSON.stringify(name));
    if (place >= 0) this.select(place + 1, place + JSON.stringify(name).length - 1);
  }

  select(start, end) {
    this.area.focus();
    this.area.setSelectionRange(start, end);
    const line = this.area.value.slice(0, start).split("\n").length;
    this.area.scrollTop = Math.max(0, line - 4) * parseFloat(getComputedStyle(this.area).lineHeight);
  }

  insert(piece) {
    const { text, caret } = inserted(this.area.value, this.area.selectionStart, this.area.selectionEnd, piece);
    this.area.value = text;
    this.name = "";
    this.area.focus();
    this.area.setSelectionRange(caret, caret);
    this.later();
  }

  tidy() {
    try {
      this.area.value = JSON.stringify(JSON.parse(this.area.value), null, 2);
    } catch { /* the check says what is wrong */ }
    this.check();
  }
}
