// Decisions on their way to the server: kept in this browser until it has said yes.
//
// Each is written down before the page goes on, one entry a key, so that a crash, a closed window
// or a second window loses none. Its id makes sending it twice harmless.

import { Problem } from "./page.js";

const PREFIX = "nhan-outbox ";
const SHORTEST_MS = 1000;
const LONGEST_MS = 15000;

export class Outbox {
  /**
   * `deliver(entry)` sends one and throws a `Problem` where it cannot;
   * `tell(state)` hears `{waiting, reachable}` whenever that changes;
   * `refused(entry, problem)` hears of what the server will never take;
   * `mine(entry)` tells what may be sent now: another person's waits until they are back.
   */
  constructor({ deliver, tell, refused, mine }) {
    this.mine = mine;
    this.deliver = deliver;
    this.tell = tell;
    this.refused = refused;
    this.unwritten = new Map();
    this.sending = null;
    this.pause = SHORTEST_MS;
    this.timer = 0;
    addEventListener("online", () => this.flush());
  }

  /** What waits, oldest first: each under its key. */
  entries() {
    const keys = [...Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)), ...this.unwritten.keys()];
    return keys.sort().map((key) => ({ key, entry: this.unwritten.get(key) ?? JSON.parse(localStorage.getItem(key)) })).filter(({ entry }) => this.mine(entry));
  }

  remove(key) {
    localStorage.removeItem(key);
    this.unwritten.delete(key);
  }

  /** Keep an entry and send it as soon as that can be done. */
  add(entry) {
    // Sorts by time; the last part keeps two windows apart.
    const key = `${PREFIX}${String(Date.now()).padStart(15, "0")} ${entry.id}`;
    try {
      localStorage.setItem(key, JSON.stringify(entry));
    } catch {
      this.unwritten.set(key, entry); // a full or forbidden storage: kept while the page is open
    }
    this.flush();
  }

  /** Take an entry back that has not been sent; false where it is gone, or on its way. */
  take(id) {
    const kept = this.entries().find((one) => one.entry.id === id);
    if (!kept || this.sending === id) return false;
    this.remove(kept.key);
    this.report(true);
    return true;
  }

  async flush() {
    clearTimeout(this.timer);
    if (this.sending) return;
    let [kept] = this.entries();
    while (kept) {
      const { key, entry } = kept;
      this.sending = entry.id;
      try {
        await this.deliver(entry);
        this.remove(key);
        this.pause = SHORTEST_MS;
        this.report(true);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (mayWork(problem)) {
          this.report(false);
          this.timer = setTimeout(() => this.flush(), this.pause);
          this.pause = Math.min(this.pause * 2, LONGEST_MS);
          return;
        }
        this.remove(key);
        this.refused(entry, problem);
      } finally {
        this.sending = null;
      }
      [kept] = this.entries();
    }
    this.report(true);
  }

  report(reachable) {
    this.tell({ waiting: this.entries().length, reachable });
  }
}

/** Whether the same may be taken later: nobody was reached, or had time. */
function mayWork({ status }) {
  return [0, 401, 408, 429].includes(status) || status >= 500;
}
