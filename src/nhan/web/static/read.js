// Read: pictures in, answers beside them, corrected in place.

import { putDown, takeUp } from "./carry.js";
import { Problem, ask, beforeLogin, composing, element, followChampions, note, number, percent, root, send, wordsOf } from "./page.js";
import { best } from "./scores.js";

const words = wordsOf("words");
const $ = (id) => document.getElementById(id);
const drop = $("drop");
const maxBytes = Number(drop.dataset.maxBytes);
const mayCorrect = drop.dataset.mayCorrect === "yes";
// As many as the server usually has workers; more would only wait there instead of here.
const AT_ONCE = 2;
// Calibrated confidence from which each word is honest: of a hundred "sure" ones, ninety-five are right.
const LEVELS = [0.95, 0.8, 0.5];
const DOUBTFUL = 0.8;
// More buttons than that are slower to look through than a name is to type.
const MOST_CLASSES = 40;
const SAMPLES = ["dong-1.png", "dong-2.png", "dong-3.png"];

/** One picture: its file, its answer or problem, and what somebody says it should have been. */
const readings = [];
let running = 0;

function add(files) {
  for (const file of files) {
    const reading = { file, state: "waiting", card: element("li", { class: "reading card" }) };
    reading.url = URL.createObjectURL(file);
    readings.push(reading);
    draw(reading);
    $("results").append(reading.card);
  }
  showCount();
  work();
}

/** What the next page needs of the list; its elements are made anew. */
function packed() {
  return readings.map(({ card, url, problem, ...kept }) => {
    if (kept.state === "reading") kept.state = "waiting";
    if (kept.state === "editing") kept.typed = card.querySelector("input").value;
    if (problem) kept.problem = { message: problem.message, hint: problem.hint, details: problem.details };
    return kept;
  });
}

function unpack(list) {
  for (const kept of list) {
    const reading = { ...kept, card: element("li", { class: "reading card" }), url: URL.createObjectURL(kept.file) };
    readings.push(reading);
    draw(reading);
    if (reading.state === "editing") reading.card.querySelector("input").value = kept.typed;
    $("results").append(reading.card);
  }
  showCount();
  work();
}

$("language").addEventListener("click", async (event) => {
  if (!readings.length || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const { href } = event.currentTarget;
  await carry().catch(() => undefined); // a browser that keeps nothing: the list is lost
  location.assign(href);
});

/** Whose list it is: somebody else may log in next. */
const owner = document.querySelector(".who")?.textContent ?? "";
const carry = () => putDown(packed(), owner);
beforeLogin(() => (readings.length ? carry() : undefined));
takeUp(owner).then(unpack, () => undefined);

function work() {
  while (running < AT_ONCE) {
    const next = readings.find((reading) => reading.state === "waiting");
    if (!next) return;
    running += 1;
    read(next).finally(() => {
      running -= 1;
      work();
    });
  }
}

async function read(reading) {
  reading.state = "reading";
  draw(reading);
  try {
    if (reading.file.size > maxBytes) throw new Problem(413, { message: `${words.too_large} ${number(maxBytes / 1e6)} MB` });
    const form = new FormData();
    form.append("file", reading.file);
    const model = $("model").value;
    const query = model ? `?model=${encodeURIComponent(model)}` : "";
    const { body, headers } = await ask(`/predict${query}`, { method: "POST", body: form, headers: keeping() });
    reading.answer = body;
    reading.value = body.text ?? body.label;
    reading.collected = headers.get("x-nhan-collected") === "yes";
    reading.state = "answered";
  } catch (problem) {
    reading.problem = problem;
    reading.state = "failed";
  }
  draw(reading);
}

function keeping() {
  const chosen = $("keeping").value;
  if (chosen === "off") return { "x-nhan-collect": "off" };
  return chosen ? { "x-nhan-consent": chosen } : {};
}

// ------------------------------------------------------------------------------------- drawing

function draw(reading) {
  const picture = element("img", { src: reading.url, alt: reading.file.name, class: "shown" });
  picture.addEventListener("error", () => picture.replaceWith(element("p", { class: "soft", text: words.no_preview })));
  const side = element("div", { class: "reading-side" });
  const parts = { waiting: drawWaiting, reading: drawWaiting, failed: drawFailure, answered: drawAnswer, editing: drawEditor, conflict: drawConflict };
  side.append(...parts[reading.state](reading));
  reading.card.replaceChildren(element("figure", {}, picture, element("figcaption", { class: "soft", text: reading.file.name })), side);
}

function drawWaiting(reading) {
  return [element("p", { class: `soft ${reading.state === "reading" ? "busy" : ""}`, text: words[reading.state] })];
}

function drawFailure(reading) {
  const again = () => {
    reading.state = "waiting";
    draw(reading);
    work();
  };
  return [
    element("p", { class: "bad", text: reading.problem.message }),
    reading.problem.hint ? element("p", { class: "soft", text: reading.problem.hint }) : null,
    element("div", { class: "row" }, button(words.again, again), button(words.remove, () => remove(reading), "quiet")),
  ].filter(Boolean);
}

function drawAnswer(reading) {
  const { answer } = reading;
  const corrected = reading.correction !== undefined;
  const said = element("p", { class: "answer", lang: "vi", ondblclick: () => edit(reading) });
  if (corrected) said.textContent = reading.correction;
  else if (answer.characters?.length) said.append(...characters(answer.characters));
  else said.textContent = reading.value || words.nothing;
  if (!said.textContent) said.append(element("span", { class: "soft", text: words.nothing }));
  const shown = [said];
  if (answer.labels) shown.push(bars(answer.labels));
  shown.push(facts(reading));
  if (corrected && reading.note) shown.push(element("p", { class: "soft small", text: reading.note }));
  shown.push(
    element("div", { class: "row" }, button(words.correct, () => edit(reading)), button(words.copy, () => copy(said.textContent)), button(words.remove, () => remove(reading), "quiet")),
  );
  return shown;
}

/** The text, its doubtful characters underlined; neighbours of one kind share an element. */
function characters(read) {
  const runs = [];
  for (const character of read) {
    const doubtful = character.confidence < DOUBTFUL;
    const last = runs.at(-1);
    if (last && last.doubtful === doubtful && !doubtful) last.text += character.text;
    else runs.push({ text: character.text, doubtful, confidence: character.confidence });
  }
  return runs.map((run) =>
    run.doubtful
      ? element("mark", { class: "doubtful", text: run.text, title: `${words.confidence} ${percent(run.confidence)}` })
      : document.createTextNode(run.text),
  );
}

function facts(reading) {
  const { answer } = reading;
  const level = LEVELS.findIndex((least) => answer.confidence >= least);
  const index = level < 0 ? LEVELS.length : level;
  const chips = [
    element("span", { class: `chip level-${index}` }, element("b", { text: words.levels[index] }), ` ${percent(answer.confidence)}`),
    element("span", { class: "chip quiet", text: `${answer.model}@${answer.version}` }),
    element("span", { class: "chip quiet wide-only", text: `${number(answer.duration_ms)} ms` }),
  ];
  if (reading.correction !== undefined) chips.unshift(element("span", { class: "chip good", text: `✓ ${words.corrected}` }));
  const line = element("p", { class: "chips" }, ...chips);
  if (reading.correction !== undefined && reading.correction !== reading.value) line.append(element("span", { class: "soft small", text: `${words.answered}: ${reading.value || words.nothing}` }));
  return line;
}

/** Classes from high to low, as bars. */
function bars(labels) {
  const list = element("ul", { class: "bars" });
  for (const [label, score] of best(labels, 6)) {
    const meter = element("meter", { min: 0, max: 1, value: score, "aria-label": label });
    list.append(element("li", {}, element("span", { text: label }), meter, element("span", { class: "number", text: percent(score, 1) })));
  }
  return list;
}

// ---------------------------------------------------------------------------------- correcting

function edit(reading) {
  reading.state = "editing";
  draw(reading);
  const field = reading.card.querySelector("input");
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function drawEditor(reading) {
  const classes = Object.keys(reading.answer.labels ?? {}).sort((one, other) => one.localeCompare(other, "vi"));
  const field = element("input", {
    class: "answer", type: "text", lang: "vi", value: reading.correction ?? reading.value, "aria-label": words.correcting,
    autocomplete: "off", autocapitalize: "off", spellcheck: "false",
  });
  field.addEventListener("keydown", (event) => {
    if (composing(event)) return; // the input method's own Enter and Escape
    if (event.key === "Enter") correct(reading, field.value);
    else if (event.key === "Escape") close(reading);
    else return;
    event.preventDefault();
  });
  const choose = (name) => button(name, () => correct(reading, name), name === field.value ? "chosen" : "");
  return [
    // One click corrects a class; the field is for one that is new.
    classes.length ? element("div", { class: "class-buttons" }, ...classes.slice(0, MOST_CLASSES).map(choose)) : null,
    field,
    element("p", { class: "soft small", text: classes.length ? words.choosing : words.correcting }),
    element("div", { class: "row" }, button(words.save, () => correct(reading, field.value), "main"), button(words.cancel, () => close(reading))),
  ].filter(Boolean);
}

function close(reading) {
  reading.state = "answered";
  draw(reading);
  reading.card.querySelector("button").focus();
}

async function correct(reading, typed, replaces) {
  const label = typed.normalize("NFC").trim();
  if (!label) return;
  if (!mayCorrect || !reading.collected) {
    finish(reading, label, words.here_only);
    return;
  }
  try {
    const given = { prediction: reading.answer.id, label };
    const standing = replaces ?? reading.correctionId;
    if (standing) given.replaces = standing;
    const { body } = await send("/corrections", given);
    reading.correctionId = body.id;
    finish(reading, body.label, "");
    note(words.saved);
  } catch (problem) {
    if (problem.status === 409 && problem.details.standing) {
      reading.mine = label;
      reading.problem = problem;
      reading.state = "conflict";
      draw(reading);
    } else note(problem.message, "bad", problem.hint); // what was typed stays in its field
  }
}

function finish(reading, label, said) {
  reading.correction = label;
  reading.note = said;
  reading.state = "answered";
  draw(reading);
  reading.card.querySelector("button").focus();
}

function drawConflict(reading) {
  const { standing } = reading.problem.details;
  const theirs = () => finish(reading, standing.label, "");
  return [
    element("p", { class: "bad", text: words.conflict }),
    element("p", { class: "answer", lang: "vi", text: standing.label }),
    element("div", { class: "row" }, button(words.replace, () => correct(reading, reading.mine, standing.id), "main"), button(words.keep_theirs, theirs)),
  ];
}

// ------------------------------------------------------------------------- the list as a whole

function button(text, act, kind = "") {
  return element("button", { class: `button ${kind}`, type: "button", text, onclick: act });
}

function remove(reading) {
  URL.revokeObjectURL(reading.url);
  readings.splice(readings.indexOf(reading), 1);
  reading.card.remove();
  showCount();
}

function showCount() {
  $("results-part").hidden = readings.length === 0;
  drop.classList.toggle("small", readings.length > 0);
  $("count").textContent = `${number(readings.length)} ${readings.length === 1 ? words.picture : words.pictures}`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS a browser has no clipboard for scripts, but still this.
    const field = element("textarea", { class: "away", text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  note(words.copied);
}

function answered() {
  return readings.filter((reading) => reading.answer);
}

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** A field of a CSV file; a spreadsheet must not take what a picture says for a formula. */
function cell(value) {
  const text = /^[=+\-@\t\r]/.test(value) && Number.isNaN(Number(value)) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

$("csv").addEventListener("click", () => {
  const rows = [["file", "value", "corrected", "confidence", "model", "version", "id"]];
  for (const { file, answer, value, correction } of answered()) {
    rows.push([file.name, correction ?? value, correction === undefined ? "" : "yes", String(answer.confidence), answer.model, answer.version, answer.id]);
  }
  // The mark at the beginning tells Excel that it is UTF-8.
  save("nhan.csv", "text/csv", "\ufeff" + rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n");
});
$("json").addEventListener("click", () => {
  const all = answered().map(({ file, answer, correction }) => ({ file: file.name, ...answer, ...(correction === undefined ? {} : { correction }) }));
  save("nhan.json", "application/json", JSON.stringify(all, null, 1) + "\n");
});
$("copy-all").addEventListener("click", () => copy(answered().map(({ value, correction }) => correction ?? value).join("\n")));
$("clear").addEventListener("click", () => [...readings].forEach(remove));

// ------------------------------------------------------------------------------- ways to bring

$("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name === "drop") add([...event.dataTransfer.files]);
  });
}
addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
  if (files.length) {
    event.preventDefault();
    add(files);
  }
});
$("samples").addEventListener("click", async () => {
  for (const name of SAMPLES) {
    const response = await fetch(new URL(`samples/${name}`, import.meta.url));
    add([new File([await response.blob()], name, { type: "image/png" })]);
  }
});

let stream = null;
$("camera").addEventListener("click", async () => {
  // A phone's own camera program focuses better than a page can; a page has none without HTTPS.
  if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices) {
    $("camera-file").click();
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
  } catch (problem) {
    note(`${words.no_camera} ${problem.message}`, "bad");
    return;
  }
  $("video").srcObject = stream;
  $("camera-dialog").showModal();
  await $("video").play();
});
$("camera-file").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
$("shoot").addEventListener("click", () => {
  if (!$("video").videoWidth) return; // the camera has not begun
  const canvas = document.createElement("canvas");
  canvas.width = $("video").videoWidth;
  canvas.height = $("video").videoHeight;
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  canvas.toBlob((blob) => add([new File([blob], `camera-${Date.now()}.png`, { type: "image/png" })]), "image/png");
});
$("camera-close").addEventListener("click", () => $("camera-dialog").close());
$("camera-dialog").addEventListener("close", () => stream?.getTracks().forEach((track) => track.stop()));

const kept = $("keeping");
kept.value = localStorage.getItem("nhan-keeping") ?? "";
kept.addEventListener("change", () => localStorage.setItem("nhan-keeping", kept.value));

// ------------------------------------------------------------------------------ who answers now

followChampions((models, problem) => {
  $("alive").className = `dot ${models.length ? "on" : "off"}`;
  const said = problem && problem.status !== 503 ? problem.message : words.nobody;
  $("champions").textContent = models.length ? `${words.answering} ${models.join(", ")}` : said;
  const names = models.map((key) => key.split("@")[0]);
  const select = $("model");
  const before = select.value;
  select.replaceChildren(...names.map((name) => element("option", { value: name, text: name })));
  if (names.includes(before)) select.value = before;
  $("model-field").hidden = names.length < 2;
  if (names.length < 2) select.replaceChildren();
});
