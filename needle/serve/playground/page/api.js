// What the page asks its server for. Every failure is an Error whose message can be shown to a person.

async function ask(method, path, body) {
  const headers = { "X-Needle-Playground": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("the server does not answer; is needle playground still running?");
  }
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(data.error?.message || `the server answered ${response.status}`);
  return data;
}

export const api = {
  state: () => ask("GET", "/api/state"),
  tools: (text) => ask("POST", "/api/tools", { text }),
  call: (request) => ask("POST", "/api/call", request),
  check: (answered) => ask("POST", "/api/check", answered),
  keep: (row) => ask("POST", "/api/corrections", row),
  forget: (id) => ask("DELETE", `/api/corrections/${encodeURIComponent(id)}`),
  train: (minutes) => ask("POST", "/api/training", { minutes }),
  training: () => ask("GET", "/api/training"),
  cancel: () => ask("DELETE", "/api/training"),
  use: (trained) => ask("POST", "/api/model", { trained }),
};
