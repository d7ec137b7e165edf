// One answer: the request with its spans, the calls, how sure the model is, how long it took.

import { byId, compact, make } from "./dom.js";
import { pieces, spansOf } from "./spans.js";

const TONES = 5;

export function showAnswer(query, answer) {
  const spans = spansOf(query, answer.calls, answer.evidence);
  byId("answer").hidden = false;
  byId("said").replaceChildren(...pieces(query, spans).map(({ text, span }) => {
    if (!span) return text;
    const number = spans.indexOf(span);
    const sure = span.score === null ? "the value stands here" : `${Math.round(100 * span.score)} % sure`;
    const words = `${span.paths.map(short).join(", ")}: ${sure}`;
    return make("mark", { class: `t${number % TONES}`, title: words }, text, make("sup", {}, short(span.paths[0])));
  }));
  byId("calls").replaceChildren(...(answer.error ? [make("p", { class: "bad" }, `No calls that can be read: ${answer.error}`)]
    : answer.calls.length ? answer.calls.map((call, place) => callCard(call, place, query, spans, answer.violations))
      : [make("p", {}, "No call: the model finds that no tool fits.")]));
  byId("figures").replaceChildren(...figures(answer));
  byId("raw").textContent = answer.raw || "";
  byId("raw-box").hidden = !answer.raw;
  byId("judge").hidden = false;
  byId("right").disabled = Boolean(answer.error) || answer.violations.length > 0;
  byId("spoken").textContent = spoken(answer);
}

export function hideAnswer() {
  byId("answer").hidden = true;
}

const short = (path) => path.split(".").slice(1).join(".") || path;

function callCard(call, place, query, spans, violations) {
  const characters = Array.from(query);
  const entries = Object.entries(call.arguments).flatMap(([key, value]) => {
    const prefix = `${place}.${key}`;
    const from = spans.filter((span) => span.paths.some((path) => path === prefix || path.startsWith(`${prefix}.`)));
    const words = from.map((span) => `“${characters.slice(span.start, span.end).join("")}”`).join(", ");
    return [make("dt", {}, key), make("dd", {}, compact(value), words ? make("span", { class: "from" }, `  from ${words}`) : null)];
  });
  const faults = violations.filter((one) => one.path.split(".")[0] === String(place));
  return make("div", { class: "call" }, make("h4", {}, call.name),
    entries.length ? make("dl", {}, ...entries) : make("p", { class: "soft" }, "without arguments"),
    ...faults.map((one) => make("p", { class: "fault" }, `${short(one.path)}: ${one.message}`)));
}

function figures(answer) {
  const found = [];
  if (answer.confidence !== null && answer.confidence !== undefined) {
    const percent = Math.round(100 * answer.confidence);
    const meter = make("meter", { min: 0, max: 1, low: 0.5, high: 0.8, optimum: 1, value: answer.confidence });
    meter.setAttribute("aria-hidden", "true");
    found.push(make("span", { id: "confidence" }, "Confidence ", make("b", {}, `${percent} %`), " ", meter));
  }
  if (answer.seconds !== null && answer.seconds !== undefined) found.push(make("span", { id: "timing" }, "Model ", make("b", {}, time(answer.seconds)), answer.round ? `, with the way there ${time(answer.round)}` : ""));
  if (answer.usage?.prompt_tokens) found.push(make("span", {}, `${answer.usage.prompt_tokens} tokens read, ${answer.usage.completion_tokens} written`));
  if (answer.offered) found.push(make("span", {}, `of ${answer.tools} tools the model was shown the ${answer.offered.length} that fit best`));
  found.push(make("span", { class: "model" }, answer.where === "browser" ? "in this browser" : answer.model.split(" (")[0]));
  return found;
}

const time = (seconds) => (seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`);

function spoken(answer) {
  if (answer.error) return "The model's output cannot be read.";
  const sure = answer.confidence === null || answer.confidence === undefined ? "" : ` Confidence ${Math.round(100 * answer.confidence)} percent.`;
  if (!answer.calls.length) return `No call.${sure}`;
  return `${answer.calls.map((call) => `${call.name} ${compact(call.arguments)}`).join("; ")}.${sure}`;
}
