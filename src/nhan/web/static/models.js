// Models: charts of scores and runs, promoting and rolling back, and what answers now.

import { ask, element, followChampions, note, percent, send, tellDates, wordsOf } from "./page.js";
import { chart, compact, legend, numberOnAxis, rateOnAxis } from "./charts.js";

const words = wordsOf("words");
const $ = (id) => document.getElementById(id);

/** Draw and connect what the server has just rendered. */
function dress() {
  tellDates();
  for (const figure of document.querySelectorAll(".scores")) drawScores(figure);
  for (const button of document.querySelectorAll(".curve-button")) button.addEventListener("click", () => toggleCurve(button));
  for (const button of document.querySelectorAll(".promote")) {
    button.addEventListener("click", () => openDialog("promote", button.closest("tr").dataset.version));
  }
  for (const button of document.querySelectorAll(".back")) {
    button.addEventListener("click", () => openDialog("rollback", button.closest(".model").dataset.name));
  }
  showAnswering(answering);
}

/** Versions against each other: only scores on one test set compare, so each set has its line. */
function drawScores(figure) {
  const { versions, sets } = JSON.parse(figure.querySelector("script").textContent);
  const told = (point) => `${words.version} ${point.version}: ${percent(point.value, 2)} (${percent(point.low, 2)} – ${percent(point.high, 2)})`;
  const lines = sets.map((set) => ({ dots: true, points: set.scores.map((score) => ({ x: versions.indexOf(score.version), y: score.value, low: score.low, high: score.high, label: `${told(score)}, ${set.dataset}` })) }));
  chart(figure.querySelector(".place"), {
    height: 190,
    says: sets.map((set) => `${set.dataset}: ${set.scores.map(told).join("; ")}`).join(". "),
    lines,
    x: { min: -0.4, max: versions.length - 0.6, values: versions.map((_, index) => index), format: (index) => String(versions[index]) },
    y: { format: rateOnAxis },
  });
  if (sets.length > 1) figure.append(legend(sets.map((set) => set.dataset), element));
}

// --------------------------------------------------------------------------------------- curves

async function toggleCurve(button) {
  const row = button.closest("tr").nextElementSibling;
  row.hidden = !row.hidden;
  button.setAttribute("aria-expanded", String(!row.hidden));
  const place = row.querySelector(".curves");
  if (row.hidden || place.childElementCount) return;
  try {
    const { body } = await ask(`/models/api/curve?run=${encodeURIComponent(button.dataset.run)}`);
    drawCurves(place, body.points);
  } catch (problem) {
    note(problem.message, "bad", problem.hint);
  }
}

/** `validation` of `validation/cer`. */
function setOf(name) {
  return name.slice(0, Math.max(0, name.lastIndexOf("/")));
}

function drawCurves(place, points) {
  // Of each set that was followed, its first metric: the one that chose the best weights.
  const names = [...new Set(points.flatMap((point) => Object.keys(point.scores ?? {})))];
  const rates = names.filter((name, index) => names.findIndex((other) => setOf(other) === setOf(name)) === index).slice(0, 4);
  const x = { min: 0, format: compact };
  const charts = [
    { title: words.error, names: rates, lines: rates.map((name) => ({ points: points.filter((point) => name in (point.scores ?? {})).map((point) => ({ x: point.seen, y: point.scores[name] })) })), x, y: { format: rateOnAxis } },
    { title: words.loss, names: [], lines: [{ points: points.filter((point) => point.seen > 0 && "loss" in point).map((point) => ({ x: point.seen, y: point.loss })) }], x, y: { format: numberOnAxis } },
  ].filter((one) => one.lines.some((line) => line.points.length > 1));
  if (!charts.length) place.append(element("p", { class: "soft", text: words.no_curve }));
  for (const one of charts) {
    const host = element("div");
    place.append(element("figure", { class: "chart" }, element("figcaption", { class: "small soft", text: `${one.title} · ${words.seen}` }), host, one.names.length > 1 ? legend(one.names, element) : null));
    chart(host, { ...one, says: `${one.title}: ${one.names.join(", ")}` });
  }
}

// ------------------------------------------------------------------------ promoting, going back

let wanted = null;

function openDialog(action, model) {
  wanted = { action, model };
  $("ask-title").textContent = `${words[`${action}_title`]} ${model}`;
  $("do-it").textContent = words[action];
  $("do-it").disabled = false;
  $("because").value = "";
  $("verdict").hidden = true;
  $("ask").showModal();
  $("because").focus();
}

async function carryOut() {
  const { action, model } = wanted;
  const said = $("verdict");
  said.hidden = false;
  said.className = "soft busy";
  said.textContent = action === "promote" ? words.judging : words.going;
  $("do-it").disabled = true;
  try {
    const { body } = await send(`/models/api/${action}`, { model, because: $("because").value.trim() });
    $("ask").close();
    note(`${model.split("@")[0]}@${body.entry.version} ${words.answers}`, "good", body.told.words);
    await renew();
  } catch (problem) {
    const told = problem.details.told?.words ? problem.details.told : { words: problem.message, hint: problem.hint, language: "en" };
    said.className = "bad";
    said.replaceChildren(element("span", { lang: told.language, text: told.words }), told.hint ? element("span", { class: "soft", lang: told.language, text: ` → ${told.hint}` }) : "");
  }
  $("do-it").disabled = false;
}

$("ask").querySelector("form").addEventListener("submit", (event) => {
  if (event.submitter?.value === "no") return;
  event.preventDefault();
  if (!$("do-it").disabled) carryOut();
});

// ------------------------------------------------------------------------------ what answers now

let answering = [];
let known = false;

function showAnswering(keys) {
  for (const row of document.querySelectorAll("tr[data-version]")) row.querySelector(".answers").hidden = !keys.includes(row.dataset.version);
}

/** Take the page's list anew, as the server renders it now. */
async function renew() {
  const response = await fetch(location.href);
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("models");
  if (fresh) document.getElementById("models").replaceWith(document.adoptNode(fresh));
  dress();
}

dress();
followChampions((keys) => {
  answering = keys;
  if (known) renew();
  else showAnswering(keys);
  known = true;
});
