// Review: one picture at a time, by keyboard; nothing typed is ever lost.

import { Problem, ask, composing, element, note, number, percent, root, send, wordsOf } from "./page.js";
import { Outbox } from "./outbox.js";
import { Pictures, Stage } from "./stage.js";

const words = wordsOf("words");
const $ = (id) => document.getElementById(id);

// Fetched ahead: enough for a fast reviewer on a slow line, few enough to leave others some.
const AHEAD = 6;
const PAUSE_MS = 600;
const DOUBTFUL = 0.8;
const DRAFT = "nhan-draft ";

const field = $("value");
const stage = new Stage($("stage"));
const pictures = new Pictures();

let reviewer = $("review").dataset.reviewer || localStorage.getItem("nhan-reviewer") || "";
let item = null; // on the stage
let ahead = []; // fetched, in order
let decided = []; // newest last: what `undo` takes back
let loading = null;
let emptied = false; // the server had nothing more
let reachable = true;

const outbox = new Outbox({
  deliver: async (entry) => {
    const { body } = await send("/review/api/decide", entry);
    if (body.next) append([body.next]);
    forgetDraft(entry.sample);
  },
  tell: ({ waiting, reachable: reached }) => {
    reachable = reached;
    const shown = $("saved");
    if (waiting && !reached) {
      shown.className = "chip warn";
      shown.textContent = `${words.away} ${number(waiting)}`;
    } else {
      shown.className = "chip quiet";
      shown.textContent = waiting ? words.saving : `✓ ${words.saved}`;
    }
    if (reached && !item) load();
  },
  refused: showRefusal,
  // Where keys are on, the server takes a decision for that of whoever is logged in.
  mine: (entry) => !$("review").dataset.reviewer || entry.reviewer === reviewer,
});

// ------------------------------------------------------------------------------ what comes next

const task = () => $("task").value;

/** Ask for more where few are left; what is decided here and still on its way is not taken again. */
function load() {
  if (!reviewer || loading) return;
  const query = new URLSearchParams({ task: task(), reviewer, count: AHEAD });
  loading = ask(`/review/api/next?${query}`)
    .then(({ body }) => {
      emptied = body.items.length < AHEAD;
      reachable = true;
      append(body.items);
      if (!item) next();
      showProgress();
    })
    .catch((problem) => {
      if (problem.status === 0) setTimeout(load, 3000);
      reachable = problem.status !== 0;
      if (!item) showNothing(problem);
    })
    .finally(() => (loading = null));
}

function append(items) {
  const gone = new Set(outbox.entries().map(({ entry }) => entry.sample));
  for (const one of items) {
    const known = one.sample === item?.sample || gone.has(one.sample) || ahead.some((other) => other.sample === one.sample);
    if (known || one.task !== (item?.task ?? (task() || one.task))) continue;
    ahead.push(one);
    pictures.fetch(one);
  }
  if (!item && ahead.length) next();
}

/** Put the next picture on the stage; it was fetched before, so this waits for nothing. */
function next() {
  const following = ahead.shift() ?? null;
  if (!following) {
    item = null;
    $("work").hidden = true;
    if (!loading) emptied ? showNothing() : load();
    return;
  }
  show(following);
  if (ahead.length < AHEAD / 2 && !emptied) load();
}

function show(shown, typed) {
  item = shown;
  $("nothing").hidden = true;
  $("work").hidden = false;
  stage.show(pictures.fetch(item).shown);
  pictures.keep([item, ...ahead, ...decided.slice(-2).map((one) => one.item)]);
  $("stage").dataset.sample = item.sample;
  const draft = localDraft(item.sample) ?? item.draft?.value;
  field.value = typed ?? draft ?? item.suggestion?.value ?? item.label ?? "";
  item.revision = item.draft?.revision ?? 0;
  item.saved = field.value;
  drawAbout();
  drawClasses();
  $("stage").focus({ preventScroll: true });
}

function showNothing(problem) {
  $("work").hidden = true;
  $("nothing").hidden = false;
  const away = !reachable || problem?.status === 0;
  const empty = problem?.status === 404;
  $("nothing-title").textContent = away ? words.offline : empty ? words.empty : problem ? problem.message : words.all_done;
  $("nothing-text").textContent = away ? words.offline_text : empty ? problem.hint : problem ? problem.hint : words.all_done_text;
}

// -------------------------------------------------------------------------- what is known of it

/** Who corrected, where a person did; the server calls who gave no name "a user". */
function correctedBy(source) {
  const [, name] = source.match(/^correction by (.*)$/s) ?? [];
  if (name === undefined) return null;
  return name === "a user" ? words.why["corrected by a user"] : `${words.correction} ${name}`;
}

function drawAbout() {
  const { suggestion, why, label } = item;
  const parts = [];
  if (suggestion) {
    const by = correctedBy(suggestion.from) ?? `${words.suggestion} ${suggestion.from}`;
    parts.push(element("span", { class: "chip quiet", text: by }));
    if (suggestion.confidence !== null && suggestion.confidence !== undefined) {
      const level = [0.95, 0.8, 0.5].findIndex((least) => suggestion.confidence >= least);
      parts.push(element("span", { class: `chip level-${level < 0 ? 3 : level}`, text: `${words.confidence} ${percent(suggestion.confidence)}` }));
    }
    if (suggestion.characters?.some((one) => one.confidence < DOUBTFUL)) {
      parts.push(element("span", { class: "marked", lang: "vi" }, ...suggestion.characters.map((one) => (one.confidence < DOUBTFUL ? element("mark", { class: "doubtful", text: one.text, title: percent(one.confidence) }) : document.createTextNode(one.text)))));
    }
  } else parts.push(element("span", { class: "soft", text: words.no_suggestion }));
  if (label !== null && label !== undefined) parts.unshift(element("span", { class: "chip warn" }, `${words.suspect} `, element("b", { lang: "vi", text: label })));
  // Who corrected it is told by the suggestion already.
  const reasons = (why ? why.split("; ") : []).filter((reason) => !(suggestion && reason === "corrected by a user"));
  for (const reason of reasons) parts.push(element("span", { class: "chip quiet", text: words.why[reason] ?? reason }));
  $("about").replaceChildren(...parts);
}

function drawClasses() {
  const place = $("class-buttons");
  $("review").classList.toggle("choosing", item.classes.length > 0);
  place.hidden = item.classes.length === 0;
  place.replaceChildren(
    ...item.classes.slice(0, 60).map((name, index) =>
      element("button", { class: `button ${name === field.value ? "chosen" : ""}`, type: "button", "aria-pressed": String(name === field.value), onclick: () => choose(name) }, name, index < 9 ? element("kbd", { text: String(index + 1) }) : null),
    ),
  );
  $("classes").replaceChildren(...item.classes.map((name) => element("option", { value: name })));
}

function choose(name) {
  field.value = name;
  drawClasses();
  $("stage").focus();
}

// -------------------------------------------------------------------------------------- deciding

function decide(action, reason = "") {
  if (!item) return;
  const value = field.value.normalize("NFC");
  if (action === "accept" && !value.trim()) {
    note(words.decide_nothing, "bad");
    field.focus();
    return;
  }
  clearTimeout(draftTimer);
  const entry = { id: crypto.randomUUID?.() ?? fallbackId(), sample: item.sample, reviewer, action, value: action === "accept" ? value : null, reason };
  decided.push({ entry, item, typed: value });
  if (decided.length > 50) decided.shift();
  $("undo").disabled = false;
  counted(1);
  outbox.add(entry);
  next();
}

/** An id that is new, where a page without HTTPS has no `randomUUID`. */
function fallbackId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function undo() {
  const last = decided.pop();
  if (!last) {
    note(words.nothing_to_undo);
    return;
  }
  $("undo").disabled = decided.length === 0;
  if (!outbox.take(last.entry.id)) {
    try {
      await send("/review/api/decide", { id: fallbackId(), sample: last.entry.sample, reviewer, action: "undo" });
    } catch (problem) {
      decided.push(last);
      $("undo").disabled = false;
      note(problem.message, "bad", problem.hint);
      return;
    }
  }
  if (item) ahead.unshift(item);
  ahead = ahead.filter((one) => one.sample !== last.item.sample);
  counted(-1);
  // What was typed stands in its field again; the server made a draft of it.
  const { draft, ...rest } = last.item;
  show(rest, last.typed);
  refreshDraft();
  note(words.undone);
}

/** After an undo the server's draft has a revision that only the server knows. */
async function refreshDraft() {
  const of = item;
  try {
    const { body } = await ask(`/review/api/next?${new URLSearchParams({ task: task(), reviewer, count: AHEAD })}`);
    const held = body.items.find((one) => one.sample === of.sample);
    of.revision = held?.draft?.revision ?? of.revision;
  } catch {
    // Away: the draft stays in this browser until it is decided.
  }
}

const chosen = { action: "skip" };

function askReason(action) {
  if (!item) return;
  chosen.action = action;
  $("reason-title").textContent = words[action];
  $("reason").value = "";
  $("reasons").replaceChildren(
    ...words.reasons[action].map(([reason, text], index) => element("button", { class: "button", type: "button", onclick: () => giveReason(reason) }, element("kbd", { text: String(index + 1) }), text)),
  );
  $("reason-dialog").showModal();
  $("reasons").firstElementChild.focus();
}

function giveReason(reason) {
  $("reason-dialog").close();
  decide(chosen.action, reason);
}

$("reason-dialog").addEventListener("keydown", (event) => {
  if (composing(event) || event.target.id === "reason") return;
  const reasons = words.reasons[chosen.action];
  const index = Number(event.key) - 1;
  if (reasons[index]) {
    event.preventDefault();
    giveReason(reasons[index][0]);
  }
});
$("reason-dialog").querySelector("form").addEventListener("submit", (event) => {
  if (event.submitter?.value === "no") return;
  event.preventDefault();
  const typed = $("reason").value.trim();
  if (typed) giveReason(typed);
});

// ---------------------------------------------------------------------------------------- drafts

let draftTimer = 0;
let saving = null; // the draft on its way to the server

/** Under which a draft is kept here: two people at one screen must not see each other's. */
function draftKey(sample) {
  return `${DRAFT}${reviewer} ${sample}`;
}

function localDraft(sample) {
  return localStorage.getItem(draftKey(sample));
}

function keepDraft(sample, value) {
  try {
    localStorage.setItem(draftKey(sample), value);
  } catch {
    // A full or forbidden storage: the server keeps it at the next pause.
  }
}

function forgetDraft(sample) {
  localStorage.removeItem(draftKey(sample));
}

// Every change is kept in this browser at once, and on the server at every pause. A composition
// that an input method has not finished is left alone.
field.addEventListener("input", (event) => {
  if (!item) return;
  keepDraft(item.sample, field.value);
  clearTimeout(draftTimer);
  if (!event.isComposing) draftTimer = setTimeout(saveDraft, PAUSE_MS);
});
field.addEventListener("compositionend", () => {
  clearTimeout(draftTimer);
  draftTimer = setTimeout(saveDraft, PAUSE_MS);
});

/** Save what stands in the field, one save at a time: a second would name the first one's revision. */
async function saveDraft() {
  while (saving) await saving;
  saving = sendDraft().finally(() => (saving = null));
  await saving;
}

async function sendDraft() {
  const of = item;
  const value = field.value;
  if (!of || value === of.saved) return;
  try {
    const { body } = await send("/review/api/draft", { sample: of.sample, reviewer, value, revision: of.revision });
    of.revision = body.revision;
    of.saved = value;
    if (of === item) {
      $("saved").className = "chip quiet";
      $("saved").textContent = `✓ ${words.draft_saved}`;
    }
  } catch (problem) {
    if (of !== item) return;
    if (problem.status === 409 && problem.details.newest) offerNewer(of, problem.details.newest);
    else {
      $("saved").className = "chip warn";
      $("saved").textContent = words.kept;
      if (problem.status === 0) draftTimer = setTimeout(saveDraft, 3000);
    }
  }
}

function offerNewer(of, newest) {
  of.revision = newest.revision;
  const take = () => {
    field.value = of.saved = newest.value;
    keepDraft(of.sample, newest.value);
    offer.remove();
  };
  const offer = element("span", { class: "chip warn" }, `${words.newer_draft} `, element("b", { lang: "vi", text: newest.value }), element("button", { class: "button quiet", type: "button", text: words.take_it, onclick: take }));
  $("about").prepend(offer);
}

// ---------------------------------------------------------------------- what the server refused

function showRefusal(entry, problem) {
  const place = $("refusals");
  place.hidden = false;
  const dismiss = () => {
    shown.remove();
    place.hidden = !place.childElementCount;
  };
  const shown = element(
    "div", { class: "card refusal" },
    element("p", { class: "bad", text: words.refused }),
    element("p", { class: "answer", lang: "vi", text: entry.value ?? `${entry.action}: ${entry.reason}` }),
    element("p", { class: "soft small", lang: "en", text: `${problem.message} ${problem.hint}` }),
    element("div", { class: "row" },
      entry.value ? element("button", { class: "button", type: "button", text: words.copy, onclick: () => navigator.clipboard?.writeText(entry.value) }) : null,
      element("button", { class: "button quiet", type: "button", text: words.dismiss, onclick: dismiss })),
  );
  place.append(shown);
  emptied = false; // it may come again
}

// -------------------------------------------------------------------------------------- progress

let steps = 0; // counted since the page began
let askAgain = 0;
let progress = { waiting: 0, done_by_me: 0, done_today: 0, per_hour: 0, disagreements: 0 };

async function showProgress() {
  const before = steps;
  try {
    const query = new URLSearchParams({ task: task(), reviewer });
    const { body } = await ask(`/review/api/progress?${query}`);
    // What was decided meanwhile, or waits to be sent, is counted here and not there yet.
    if (steps !== before || outbox.entries().length) {
      clearTimeout(askAgain);
      askAgain = setTimeout(showProgress, 2000);
      return;
    }
    progress = body;
    drawProgress();
  } catch {
    // The figures can wait for the connection.
  }
}

function counted(step) {
  steps += 1;
  progress.done_by_me += step;
  progress.done_today += step;
  progress.waiting = Math.max(0, progress.waiting - step);
  drawProgress();
}

function drawProgress() {
  $("waiting").textContent = number(progress.waiting);
  $("done").textContent = number(progress.done_by_me);
  $("pace-part").hidden = !progress.per_hour;
  $("pace").textContent = number(progress.per_hour);
  $("bar").value = progress.done_today / (progress.done_today + progress.waiting || 1);
  $("disputes-button").hidden = !progress.disagreements;
  $("disputes-button").textContent = `${number(progress.disagreements)} ${words.disputes}`;
}

// -------------------------------------------------------------------------------------- disputes

async function openDisputes() {
  const { body } = await ask(`/review/api/disagreements?${new URLSearchParams({ task: task() })}`);
  $("disputes").replaceChildren(...(body.disagreements.length ? body.disagreements.map(drawDispute) : [element("p", { class: "soft", text: words.none_disputed })]));
  if (!$("disputes-dialog").open) $("disputes-dialog").showModal();
}

function drawDispute(dispute) {
  const settle = async (value, reason = "") => {
    try {
      await send("/review/api/adjudicate", { id: fallbackId(), sample: dispute.sample, reviewer, value, reason });
      note(words.settled);
      await openDisputes();
      showProgress();
    } catch (problem) {
      note(problem.message, "bad", problem.hint);
    }
  };
  const opinions = dispute.opinions.map((opinion) =>
    element("li", {},
      element("span", { class: "answer", lang: "vi", text: opinion.value ?? `(${words.skipped}: ${opinion.reason})` }),
      element("span", { class: "soft small", text: opinion.reviewer }),
      element("button", { class: "button", type: "button", text: words.settle, onclick: () => settle(opinion.value, opinion.reason) })),
  );
  return element("article", { class: "dispute" }, element("img", { src: `${root}${dispute.picture}`, alt: dispute.name }), element("ul", {}, ...opinions));
}

// ------------------------------------------------------------------------------------------ keys

const actions = {
  Enter: () => decide("accept"),
  s: () => askReason("skip"),
  x: () => askReason("reject"),
  u: undo,
  "+": () => stage.larger(),
  "=": () => stage.larger(),
  "-": () => stage.smaller(),
  0: () => stage.reset(),
  r: () => stage.turn(),
  i: () => stage.invert(),
  "?": () => $("keys-dialog").showModal(),
};

addEventListener("keydown", (event) => {
  // A key that an input method is working on is nobody else's.
  if (composing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  const { target, key } = event;
  // A key that is held down was pressed once: nobody has seen the pictures that would follow.
  if (event.repeat && (key === "Enter" || (target !== field && key.toLowerCase() === "u"))) {
    event.preventDefault();
    return;
  }
  if (target === field) {
    if (key === "Enter") {
      event.preventDefault();
      decide("accept");
    } else if (key === "Escape") $("stage").focus();
    return;
  }
  if (target.closest("button, a, select, input") && (key === "Enter" || key === " " || target.closest("select, input"))) return;
  if (key === "Tab" && !event.shiftKey && target.id === "stage" && item) {
    event.preventDefault();
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
    return;
  }
  const index = Number(key) - 1;
  if (item?.classes[index] && index < 9) {
    event.preventDefault();
    choose(item.classes[index]);
    return;
  }
  const act = actions[key.length === 1 ? key.toLowerCase() : key];
  if (act) {
    event.preventDefault();
    act();
  }
});

$("accept").addEventListener("click", () => decide("accept"));
$("skip").addEventListener("click", () => askReason("skip"));
$("reject").addEventListener("click", () => askReason("reject"));
$("undo").addEventListener("click", undo);
$("larger").addEventListener("click", () => stage.larger());
$("smaller").addEventListener("click", () => stage.smaller());
$("turn").addEventListener("click", () => stage.turn());
$("invert").addEventListener("click", () => stage.invert());
$("keys-button").addEventListener("click", () => $("keys-dialog").showModal());
$("disputes-button").addEventListener("click", openDisputes);
$("again").addEventListener("click", load);
$("task").addEventListener("change", () => {
  item = null;
  ahead = [];
  load();
});

// ----------------------------------------------------------------------------------------- begin

function askName() {
  $("name").value = reviewer;
  $("who-dialog").showModal();
}

if ($("who")) {
  $("who").textContent = reviewer;
  $("who").addEventListener("click", askName);
  $("who-dialog").addEventListener("close", () => {
    const given = $("name").value.trim();
    if (!given) return;
    if (reviewer !== given) {
      item = null;
      ahead = [];
      decided = [];
    }
    reviewer = given;
    localStorage.setItem("nhan-reviewer", given);
    $("who").textContent = given;
    begin();
  });
}

function begin() {
  outbox.flush();
  load();
}

if (reviewer) begin();
else askName();
setInterval(() => {
  showProgress();
  if (!item && reviewer) load(); // more may have come in
}, 30000);
