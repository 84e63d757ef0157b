// What every page shares: words, elements, requests, notes, language and theme.

export const root = document.documentElement.dataset.root;
export const language = document.documentElement.lang;

/** The words that a page's template gives its script, in the visitor's language. */
export function wordsOf(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

const shared = wordsOf("shared-words");

/**
 * An element. Text only ever enters as a text node: what users sent never becomes markup.
 * `properties`: `class`, `text`, `on…` handlers, `data` and other attributes.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name === "class") made.className = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A number as the language writes it. */
export function number(value, digits = 0) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function percent(value, digits = 0) {
  return `${number(100 * value, digits)} %`;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

/** A moment as people say it: today's by its time, others by their day. */
export function moment(text) {
  const at = new Date(text);
  const today = at.toDateString() === new Date().toDateString();
  return today
    ? at.toLocaleTimeString(language, CLOCK)
    : at.toLocaleDateString(language, { day: "numeric", month: "short", ...CLOCK });
}

/**
 * What the server refused, or why it could not be reached (`status` 0).
 * The usual kinds are said in the visitor's language, and in the server's words beside that.
 */
export class Problem extends Error {
  constructor(status, error) {
    const known = shared.codes[error.code];
    super(known ?? error.message);
    this.status = status;
    this.hint = known ? error.message : (error.hint ?? "");
    this.details = error.details ?? {};
  }
}

const farewells = [];
let leaving = null;

/** Have something done before a page whose session has ended is left for the login. */
export function beforeLogin(work) {
  farewells.push(work);
}

function logIn() {
  const address = `${root}/login?next=${encodeURIComponent(location.pathname.slice(root.length))}`;
  leaving ??= Promise.allSettled(farewells.map((work) => work())).then(() => location.assign(address));
  return leaving;
}

/** Ask the server; gives the JSON it answers and the response's headers. */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(root + path, options);
  } catch {
    throw new Problem(0, { message: shared.offline });
  }
  if (response.status === 401) await logIn();
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, body?.error ?? { message: shared.failed });
  return { body, headers: response.headers };
}

export function send(path, document) {
  return ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(document),
  });
}

/** Say something at the page's edge for a moment; errors stay longer. */
export function note(text, kind = "good", hint = "") {
  const shown = element("p", { class: `note ${kind}` }, element("span", { text }));
  if (hint) shown.append(element("small", { text: hint }));
  document.getElementById("notes").append(shown);
  setTimeout(() => shown.remove(), kind === "bad" ? 9000 : 3500);
}

/** Whether a key belongs to an input method that is still composing, as Telex and VNI do. */
export function composing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Call `tell` with what answers now, whenever that changes, for as long as the page is seen. */
export function followChampions(tell) {
  let last = "";
  async function look() {
    if (document.hidden) return;
    try {
      const { body } = await ask("/readyz");
      if (JSON.stringify(body.models) !== last) {
        last = JSON.stringify(body.models);
        tell(body.models);
      }
    } catch (problem) {
      if (last !== "[]") tell([], problem);
      last = "[]";
    }
  }
  look();
  setInterval(look, 2000);
  document.addEventListener("visibilitychange", look);
}

/** Remember a choice of this browser, for a year. */
function remember(name, value) {
  document.cookie = `${name}=${value}; path=${root || "/"}; max-age=31536000; samesite=lax`;
}

document.getElementById("theme").addEventListener("click", () => {
  const page = document.documentElement;
  const dark = page.dataset.theme ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  page.dataset.theme = dark ? "light" : "dark";
  document.querySelector("meta[name=color-scheme]").content = page.dataset.theme;
  remember("nhan_theme", page.dataset.theme);
});

// The other language's address keeps what the page's own says; the choice itself is remembered.
const here = new URL(location.href);
if (here.searchParams.has("language")) {
  here.searchParams.delete("language");
  history.replaceState(null, "", here);
}
const other = document.getElementById("language");
here.searchParams.set("language", other.lang);
other.href = here.search;

// Dates as the visitor writes them, in their own time zone.
export function tellDates(within = document) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleDateString(language, { day: "numeric", month: "short", year: "numeric" });
    time.title = at.toLocaleString(language);
  }
}
tellDates();
