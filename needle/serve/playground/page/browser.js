// The page's end of the model in this browser: started on first use, asked one request after the other.

export class BrowserModel {
  /** `tell(words)` says what is being loaded. */
  constructor(tell) {
    this.tell = tell;
    this.waiting = new Map();
    this.last = 0;
    this.ready = null;
  }

  /** Load what is not loaded yet. */
  load() {
    this.ready ??= this.start().catch((error) => { this.stop(); throw error; });
    return this.ready;
  }

  start() {
    this.worker = new Worker("/page/model/worker.js", { type: "module" });
    this.worker.addEventListener("message", ({ data: { id, step, result, error } }) => {
      if (step) { this.tell(step); return; }
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) reject(new Error(error)); else resolve(result);
    });
    this.worker.addEventListener("error", (event) => this.fail(event.message || "the model's thread could not be started"));
    return this.send("load");
  }

  fail(words) {
    for (const { reject } of this.waiting.values()) reject(new Error(words));
    this.waiting.clear();
  }

  send(kind, request) {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, kind, request });
    });
  }

  async call(request) {
    await this.load();
    return this.send("call", request);
  }

  /** Forget the model: another one is to be loaded. */
  stop() {
    this.worker?.terminate();
    this.fail("the model was stopped");
    this.ready = null;
  }
}
