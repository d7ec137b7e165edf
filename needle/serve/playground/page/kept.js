// The corrections and the fine-tune on them.

import { api } from "./api.js";
import { byId, compact, make, notice } from "./dom.js";

const EVERY = 1000;  // milliseconds between looks at a run

export class Kept {
  /** `changed(state)` is called when another model answers. */
  constructor(changed) {
    this.changed = changed;
    this.fewest = 0;
    this.count = 0;
    byId("train").addEventListener("submit", (event) => { event.preventDefault(); this.do(() => api.train(Number(byId("minutes").value) || null)); });
    byId("cancel").addEventListener("click", () => this.do(() => api.cancel()));
    byId("load").addEventListener("click", () => this.use(true));
    byId("unload").addEventListener("click", () => this.use(false));
  }

  show(kept) {
    this.fewest = kept.fewest ?? this.fewest;
    this.count = kept.rows.length;
    byId("path").textContent = kept.path;
    byId("none").hidden = kept.rows.length > 0;
    byId("rows").replaceChildren(...kept.rows.toReversed().map((row) => this.row(row)));
    if (this.status) this.showTraining(this.status);
  }

  row(row) {
    const calls = (row.calls ?? []).map((call) => `${call.name} ${compact(call.arguments)}`);
    return make("li", {}, make("p", {}, row.query),
      make("button", { type: "button", class: "small", "aria-label": `Remove: ${row.query}`, onclick: () => this.remove(row.id) }, "Remove"),
      ...(calls.length ? calls : ["no call"]).map((call) => make("code", {}, call)));
  }

  async remove(id) {
    try {
      this.show(await api.forget(id));
      notice("Removed.");
      (byId("rows").querySelector("button") ?? byId("query")).focus();
    } catch (error) {
      notice(error.message, true);
    }
  }

  async do(action) {
    try {
      this.showTraining(await action());
    } catch (error) {
      this.say(error.message, true);
    }
  }

  async use(trained) {
    byId("load").disabled = byId("unload").disabled = true;
    try {
      const state = await api.use(trained);
      this.showTraining(state.training);
      this.changed(state);
    } catch (error) {
      this.say(error.message, true);
    } finally {
      byId("load").disabled = byId("unload").disabled = false;
    }
  }

  say(text, isError = false) {
    const line = byId("training-state");
    line.classList.toggle("bad", isError);
    if (line.textContent !== text) line.textContent = text;
  }

  showTraining(status) {
    this.status = status;
    const busy = status.state === "running" || status.state === "stopping";
    byId("start").disabled = busy || this.count < this.fewest;
    byId("cancel").hidden = status.state !== "running";
    byId("progress").hidden = byId("progress-label").hidden = !busy;
    byId("load").hidden = !status.usable || status.in_use;
    byId("unload").hidden = !status.in_use;
    if (busy) {
      byId("progress").value = status.progress;
      byId("progress-label").textContent = left(status);
    }
    this.say(...words(status, this.count, this.fewest));
    byId("curve").replaceChildren(...curve(status.losses));
    clearTimeout(this.timer);
    if (busy) this.timer = setTimeout(() => this.do(() => api.training()), EVERY);
  }
}

function left(status) {
  const percent = `${Math.floor(100 * status.progress)} %`;
  if (status.state === "stopping") return "stopping after this step";
  if (!status.seconds_left) return `${percent}, starting`;
  const seconds = status.seconds_left;
  return `${percent}, about ${seconds < 90 ? count(Math.round(seconds), "second") : count(Math.round(seconds / 60), "minute")} left`;
}

const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

function words(status, rows, fewest) {
  const exact = status.exact.length ? `${Math.round(100 * Math.max(...status.exact.map(([, share]) => share)))} % of the held-out rows are right` : "";
  if (status.state === "failed") return [`The fine-tune failed: ${status.error}`, true];
  if (status.state === "running" || status.state === "stopping") return [exact ? `So far ${exact}.` : "The run has started."];
  if (status.state === "done") return [`Done: ${exact || "no figure yet"}. The checkpoint is in ${status.out}/best.`];
  if (status.state === "unimproved") return [`Nothing better than the model before was found (${exact || "nothing was scored"} at best); give more corrections, or more time.`];
  if (status.state === "cancelled") return [status.usable ? `Cancelled; the best so far is in ${status.out}/best.` : "Cancelled."];
  return [rows < fewest ? `A fine-tune needs ${fewest} corrections; there ${rows === 1 ? "is" : "are"} ${rows}.` : ""];
}

const SVG = "http://www.w3.org/2000/svg";

/** The loss over the steps, as a small curve with its first and last value. */
function curve(points) {
  if (points.length < 3) return [];
  const [width, height] = [320, 90], most = Math.max(...points.map(([, loss]) => loss), 0.01);
  const last = points.at(-1)[0] || 1;
  const place = ([step, loss]) => `${((step / last) * width).toFixed(1)},${(height - (loss / most) * height).toFixed(1)}`;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `-2 -12 ${width + 4} ${height + 30}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Loss from ${points[0][1].toFixed(2)} to ${points.at(-1)[1].toFixed(2)} over ${last} steps`);
  const draw = (tag, attributes, text = "") => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    svg.append(node);
  };
  draw("path", { class: "grid-line", d: `M0,${height} H${width}` });
  draw("path", { d: `M${points.map(place).join("L")}` });
  draw("text", { x: 0, y: -2 }, `loss ${points[0][1].toFixed(2)}`);
  draw("text", { x: width, y: height + 14, "text-anchor": "end" }, `step ${last}: ${points.at(-1)[1].toFixed(2)}`);
  return [svg];
}
