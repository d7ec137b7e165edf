// Elements and words. Everything enters the page through textContent: no markup is ever built from text.

export const byId = (id) => document.getElementById(id);

/** An element with a class, properties and children; a child that is text stays text. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Show words for a while in the line under the header, and have them read out. */
export function notice(text, isError = false) {
  const line = byId("notice");
  line.textContent = text;
  line.hidden = !text;
  line.classList.toggle("bad", isError);
}

export const compact = (value) => JSON.stringify(value);

/** A list of choices in a select; `[value, words]` each. */
export function fill(select, choices, value) {
  select.replaceChildren(...choices.map(([key, words]) => make("option", { value: key }, words)));
  if (value !== undefined) select.value = value;
}

const THEMES = { automatic: "light dark", dark: "dark", light: "light" };

/** The button that goes through the themes; the choice is remembered in this browser. */
export function themeButton(button) {
  const show = (name) => {
    document.documentElement.style.colorScheme = THEMES[name];
    button.textContent = `Theme: ${name}`;
    button.dataset.now = name;
  };
  let stored = "automatic";
  try { stored = localStorage.getItem("needle-theme") || stored; } catch { /* a browser that stores nothing */ }
  show(stored in THEMES ? stored : "automatic");
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    show(names[(names.indexOf(button.dataset.now) + 1) % names.length]);
    try { localStorage.setItem("needle-theme", button.dataset.now); } catch { /* as above */ }
  });
}
