// How two values differ, letter by letter where that is readable.
const LONGEST = 600; // letters of a side beyond which only the common start and end are found

// Characters that are not seen, or that turn the direction of what follows, are shown by their number.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const visible = (text) => text.replace(HIDDEN, (letter) => `⟨${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

const written = (value) => (value === undefined ? "–" : visible(JSON.stringify(value)));

// Pieces [text, same] of both sides. Works on whole characters, so that no emoji is cut in half.
function pieces(left, right) {
  const a = [...left], b = [...right];
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const inner = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  const [from, to] = inner[0].length * inner[1].length > LONGEST * LONGEST || !inner[0].length || !inner[1].length
    ? inner.map((part) => [[part.join(""), false]])
    : common(...inner);
  const head = [a.slice(0, start).join(""), true], tail = [a.slice(a.length - end).join(""), true];
  return [from, to].map((middle) => [head, ...middle, tail].filter(([text]) => text));
}

// Longest common subsequence; single common letters between differences are not worth showing as the same.
function common(a, b) {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const from = [], to = [];
  const push = (list, letter, same) => {
    const last = list[list.length - 1];
    if (last && last[1] === same) last[0] += letter; else list.push([letter, same]);
  };
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) { push(from, a[i], true); push(to, b[j], true); i++; j++; }
    else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) push(from, a[i++], false);
    else push(to, b[j++], false);
  }
  const shared = from.filter(([, same]) => same).reduce((sum, [text]) => sum + text.length, 0);
  if (shared * 3 < Math.max(a.length, b.length)) return [[[a.join(""), false]], [[b.join(""), false]]];
  return [from, to];
}

// One side of a difference as nodes; tag marks what the other side lacks.
function marked(list, tag) {
  const box = make("span");
  for (const [text, same] of list) box.append(same ? text : make(tag, "", text));
  return box;
}

// Objects inside an argument are compared key by key; anything else is one value.
function flatten(value, path = "", into = new Map()) {
  const plain = value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length;
  if (!plain) into.set(path, value);
  else for (const [key, inner] of Object.entries(value)) flatten(inner, path ? `${path}.${key}` : key, into);
  return into;
}
