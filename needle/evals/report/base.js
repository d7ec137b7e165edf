"use strict";
// Everything from the run enters the page through textContent; no markup is ever built from it.
const byId = (id) => document.getElementById(id);

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const THEMES = { automatic: "light dark", dark: "dark", light: "light" };

function setTheme(name) {
  if (!THEMES[name]) return;
  document.documentElement.style.colorScheme = THEMES[name];
  byId("theme").textContent = `Theme: ${name}`;
  byId("theme").dataset.now = name;
}

byId("theme").hidden = false;
byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(byId("theme").dataset.now || "automatic") + 1) % names.length]);
});

// A table that fits is no stop for the Tab key; one that scrolls is.
function tabStops() {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
  }
}

tabStops();
addEventListener("resize", tabStops);
