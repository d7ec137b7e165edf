// The page put together: tools on the right, request and answer on the left, corrections below.

import { hideAnswer, showAnswer } from "./answer.js";
import { api } from "./api.js";
import { BrowserModel } from "./browser.js";
import { byId, fill, make, notice, themeButton } from "./dom.js";
import { Editor } from "./editor.js";
import { CallsForm } from "./form.js";
import { Kept } from "./kept.js";

const OWN = "";  // value of the choice "my own" among the examples

let asked = null;  // what the shown answer is about: {query, system, tools, toolset, answer}
let examples = [];
let busy = false;

const editor = new Editor(() => { byId("example").value = editor.name; });
const local = new BrowserModel((step) => notice(`The browser loads the model: ${step} …`));
const kept = new Kept((state) => { showModel(state.model); hideAnswer(); local.stop(); });
const correction = new CallsForm(byId("correction"), (calls) => save(calls), () => closeCorrection());

function showModel(name) {
  byId("model").textContent = name.split(" (")[0];
  byId("model").title = name;
}

function showSamples() {
  const example = examples.find((one) => one.name === editor.name);
  byId("samples").replaceChildren(...(example?.requests ?? []).map((text) => make("button", { type: "button", onclick: () => { byId("query").value = text; ask(); } }, text)));
}

async function openExample(name) {
  const example = examples.find((one) => one.name === name);
  if (!example) return;
  await editor.open(example.text, name);
  showSamples();
}

async function ask() {
  const query = byId("query").value.trim(), system = byId("system").value.trim();
  if (busy) return;
  if (!query) { notice("The request is empty; say what should be done.", true); byId("query").focus(); return; }
  busy = true;
  byId("go").disabled = true;
  notice("");
  closeCorrection(false);
  try {
    const tools = await editor.current();
    if (!tools) throw new Error("the tools cannot be read; mend them first");
    const toolset = editor.name;
    const began = performance.now();
    const answer = await (inBrowser() ? askHere : api.call)({ query, system, tools });
    asked = { query, system, tools, toolset, answer: { ...answer, round: (performance.now() - began) / 1000 } };
    showAnswer(query, asked.answer);
  } catch (error) {
    hideAnswer();
    notice(error.message, true);
  } finally {
    busy = false;
    byId("go").disabled = false;
  }
}

const inBrowser = () => document.querySelector("#where input:checked").value === "browser";

/** The answer of the model in this browser; the server only says what breaks a schema and where a value was said. */
async function askHere({ query, system, tools }) {
  await local.load();
  notice("");
  const answer = await local.call({ query, system, toolsText: editor.exact });
  const checked = answer.error ? { violations: [], evidence: [] } : await api.check({ query, tools, calls: answer.calls });
  return { ...answer, ...checked, model: byId("model").title, where: "browser" };
}

/** Load the model as soon as the browser is chosen; back to the server where it cannot be. */
async function loadHere() {
  try {
    const { bytes, threads } = await local.load();
    if (inBrowser()) notice(`The model is in this browser: ${(bytes / 1e6).toFixed(1)} MB, ${threads === 1 ? "1 thread" : `${threads} threads`}. Requests stay here; the server only checks the calls and saves what you say is right.`);
  } catch (error) {
    document.querySelector("#where input[value=server]").checked = true;
    notice(`The model cannot run in this browser: ${error.message}`, true);
  }
}

async function save(calls) {
  const { query, system, tools, toolset, answer } = asked;
  const { calls: said, confidence, error, model } = answer;
  kept.show(await api.keep({ query, system, tools, toolset, calls, answer: { calls: said, confidence, error, model } }));
  closeCorrection();
  notice("Saved.");
}

function closeCorrection(focus = true) {
  const open = !byId("correction").hidden;
  byId("correction").hidden = true;
  byId("judge").hidden = false;
  if (open && focus) byId("correct").focus();
}

function listen() {
  byId("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  byId("query").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(); }
  });
  for (const choice of document.querySelectorAll("#where input")) choice.addEventListener("change", () => { if (inBrowser()) loadHere(); else notice(""); });
  byId("example").addEventListener("change", (event) => openExample(event.target.value));
  byId("right").addEventListener("click", () => save(asked.answer.calls).catch((error) => notice(error.message, true)));
  byId("correct").addEventListener("click", () => { byId("judge").hidden = true; correction.open(asked.tools, asked.answer.calls); });
}

async function start() {
  themeButton(byId("theme"));
  listen();
  try {
    const state = await api.state();
    examples = state.examples;
    fill(byId("example"), [[OWN, "my own"], ...examples.map((one) => [one.name, one.title])]);
    showModel(state.model);
    kept.show(state.corrections);
    kept.showTraining(state.training);
    if (state.tools.length) await editor.open(JSON.stringify(state.tools, null, 2));
    else await openExample(examples[0].name);
  } catch (error) {
    notice(error.message, true);
  }
  document.body.dataset.ready = "yes";
}

start();
