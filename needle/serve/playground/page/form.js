// A form for calls, made from the tools' schemas: one fieldset a call, one input an argument; empty means left out.

import { compact, make } from "./dom.js";
import { argumentsOf } from "./schema.js";

let numbers = 0;

export class CallsForm {
  /** `save(calls)` is called with what was entered; `close()` when the person gives up. */
  constructor(form, save, close) {
    this.form = form;
    this.save = save;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
    this.close = close;
  }

  open(tools, calls) {
    this.tools = tools;
    this.list = make("div");
    this.problem = make("p", { class: "bad state", role: "alert" });
    this.form.replaceChildren(this.list, this.problem, make("div", { class: "bar" },
      make("button", { type: "submit", class: "main" }, "Save the correction"),
      make("button", { type: "button", onclick: () => this.add({ name: tools[0].name, arguments: {} }, true) }, "Add a call"),
      make("button", { type: "button", onclick: () => this.close() }, "Give up")));
    this.form.hidden = false;
    for (const call of calls) this.add(call);
    this.told();
    (this.form.querySelector("select, input, textarea") ?? this.form.querySelector("button")).focus();
  }

  add(call, focus = false) {
    this.list.querySelector(".none")?.remove();
    const id = `field-${numbers++}`;
    const choice = make("select", { id }, ...this.tools.map((tool) => make("option", {}, tool.name)));
    choice.value = this.tools.some((tool) => tool.name === call.name) ? call.name : this.tools[0].name;
    const grid = make("div", { class: "grid" });
    const box = make("fieldset", { class: "one" }, make("div", { class: "bar" },
      make("label", { class: "field inline", htmlFor: id }, "Call ", choice),
      make("button", { type: "button", class: "small", onclick: () => { box.remove(); this.told(); this.form.querySelector("button.main").focus(); } }, "Remove this call")), grid);
    const show = (given) => grid.replaceChildren(...argumentsOf(this.tools.find((tool) => tool.name === choice.value)).flatMap((one) => field(one, given[one.name])));
    choice.addEventListener("change", () => show({}));
    show(choice.value === call.name ? call.arguments : {});
    this.list.append(box);
    if (focus) choice.focus();
  }

  told() {
    const empty = !this.list.querySelector("fieldset");
    this.list.querySelector(".none")?.remove();
    if (empty) this.list.append(make("p", { class: "none" }, "No call: saved like this, it says that no tool fits."));
  }

  async submit() {
    this.problem.textContent = "";
    const calls = [];
    for (const box of this.list.querySelectorAll("fieldset")) {
      const entered = {};
      for (const input of box.querySelectorAll("[data-argument]")) {
        input.removeAttribute("aria-invalid");
        try {
          const value = read(input);
          if (value !== undefined) entered[input.dataset.argument] = value;
        } catch (error) {
          input.setAttribute("aria-invalid", "true");
          input.focus();
          this.problem.textContent = `${input.dataset.argument}: ${error.message}`;
          return;
        }
      }
      calls.push({ name: box.querySelector("select").value, arguments: entered });
    }
    try {
      await this.save(calls);
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }
}

/** Label and input of one argument, filled with `value` where there is one. */
function field({ name, schema, required, words }, value) {
  const id = `field-${numbers++}`;
  const label = make("label", { htmlFor: id }, name, make("small", {}, `${words}${required ? ", must be given" : ""}`));
  return [label, input(schema, value, { id, "data-argument": name })];
}

function input(schema, value, properties) {
  const kind = Array.isArray(schema.type) ? "json" : schema.type;
  const shown = value === undefined ? "" : value;
  if (Array.isArray(schema.enum)) return chosen(schema.enum, value, properties);
  if (kind === "boolean") return chosen([true, false], value, properties);
  if (kind === "string" && (value === undefined || typeof value === "string")) return make("input", { ...properties, "data-kind": "text", type: "text", autocomplete: "off", value: shown });
  if (kind === "integer" || kind === "number") return make("input", { ...properties, "data-kind": "number", type: "text", inputmode: "decimal", autocomplete: "off", value: String(shown) });
  return make("textarea", { ...properties, "data-kind": "json", class: "code", rows: 2, spellcheck: false, placeholder: "JSON", value: value === undefined ? "" : compact(value) });
}

function chosen(values, value, properties) {
  const select = make("select", { ...properties, "data-kind": "json" }, make("option", { value: "" }, "(left out)"),
    ...values.map((one) => make("option", { value: compact(one) }, typeof one === "string" ? one : compact(one))));
  select.value = value === undefined ? "" : compact(value);
  return select;
}

function read(input) {
  const text = input.value;
  if (text.trim() === "") return undefined;
  if (input.dataset.kind === "text") return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(input.dataset.kind === "number" ? "write a number, with a point before decimals" : 'write JSON, such as ["a", "b"]');
  }
}
