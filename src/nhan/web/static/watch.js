// Watch: the last hour from the server's own counters, and what rounds have measured.

import { ask, element, language, moment, note, number, percent, root, wordsOf } from "./page.js";
import { chart, compact, legend, rateOnAxis } from "./charts.js";

const words = wordsOf("words");
const $ = (id) => document.getElementById(id);
const model = () => $("model").value;
const mayLook = $("watch").dataset.maySee === "yes";
const EVERY_MS = 10000;
const MINUTE_S = 60;
const FEW = 20;

const clock = (seconds) => moment(new Date(seconds * 1000).toISOString());

/** Round minutes between two moments, so many that a phone can show them. */
function roundMinutes(low, high) {
  const step = [2, 5, 10, 15, 20].find((minutes) => (high - low) / (minutes * MINUTE_S) <= 5) ?? 30;
  const made = [];
  for (let at = Math.ceil(low / (step * MINUTE_S)) * step * MINUTE_S; at <= high; at += step * MINUTE_S) made.push(at);
  return made;
}
const milliseconds = (value) => `${number(value, value < 10 ? 1 : 0)} ms`;

// ----------------------------------------------------------------------------------------- now

async function showNow() {
  if (document.hidden) return;
  let now;
  try {
    now = (await ask("/watch/api/now")).body;
  } catch (problem) {
    note(problem.message, "bad");
    return;
  }
  const recent = now.points.filter((point) => point.at > Date.now() / 1000 - 5 * MINUTE_S);
  const seconds = recent.reduce((sum, point) => sum + point.seconds, 0);
  const answered = recent.reduce((sum, point) => sum + point.answered, 0);
  $("rate").textContent = number((answered / Math.max(seconds, 1)) * MINUTE_S, answered && answered < 50 ? 1 : 0);
  const refused = Object.values(now.refusals).reduce((sum, count) => sum + count, 0);
  $("rate-under").textContent = [words.minute, now.waiting ? `${number(now.waiting)} ${words.waiting}` : "", refused ? `${number(refused)} ${words.refused}` : ""].filter(Boolean).join(" · ");
  const timed = now.points.filter((point) => point.p50_ms !== null);
  const last = timed.at(-1);
  $("p50").textContent = last ? milliseconds(last.p50_ms) : "–";
  $("p95").textContent = last ? `${words.p95} ${milliseconds(last.p95_ms)}` : words.quiet;
  drawHour(now.points, timed);
  const mine = now.models.find((one) => one.key.split("@")[0] === model()) ?? now.models[0];
  drawConfidence(mine);
}

function drawHour(points, timed) {
  const high = Date.now() / 1000;
  const low = Math.min(points[0].at - points[0].seconds, high - 10 * MINUTE_S);
  const x = { min: low, max: high, values: roundMinutes(low, high), format: clock };
  const rates = points.map((point) => ({ x: point.at, y: (point.answered / point.seconds) * MINUTE_S }));
  chart($("traffic"), { height: 170, says: `${words.minute}: ${$("rate").textContent}`, lines: [{ area: true, points: rates }], x, y: { format: compact, max: Math.max(...rates.map((one) => one.y)) > 0 ? undefined : 10 } });
  if (timed.length) {
    const line = (name) => ({ points: timed.map((point) => ({ x: point.at, y: point[name] })), dots: timed.length < 2 });
    chart($("latency"), { height: 170, says: `${$("p50").textContent}; ${$("p95").textContent}`, lines: [line("p50_ms"), line("p95_ms")], x, y: { format: compact } });
    $("latency-legend").replaceChildren(legend([words.half, words.most], element));
  } else $("latency").replaceChildren(element("p", { class: "soft nothing-yet", text: words.quiet }));
}

function drawConfidence(found) {
  if (!found?.answered) {
    $("confidence").replaceChildren(element("p", { class: "soft nothing-yet", text: words.quiet }));
    return;
  }
  // Buckets are narrower towards certainty; their heights are shares, so all are drawn as wide.
  const bars = found.confidence.map((bar, index) => ({ from: index, to: index + 1, y: bar.y }));
  const edge = (index) => (index === bars.length ? "100" : number(100 * found.confidence[index].from));
  const values = [0, 5, 9, bars.length].filter((index) => index <= bars.length);
  chart($("confidence"), { height: 170, says: `${number(found.answered)} ${words.answers}`, bars, x: { min: 0, max: bars.length, values, format: (index) => `${edge(index)} %` }, y: { format: (value) => percent(value) } });
}

// ---------------------------------------------------------------------------- what was measured

/** `4 (bundled)`: the reader that comes with Nhãn, not the workspace's own version 4. */
function versionName(version) {
  return `${words.version} ${version.replace("(bundled)", `(${words.bundled})`)}`;
}

async function showKept() {
  if (!model() || !$("watch").dataset.workspace) return;
  let kept;
  try {
    kept = (await ask(`/watch/api/kept?model=${encodeURIComponent(model())}`)).body;
  } catch (problem) {
    note(problem.message, "bad", problem.hint);
    return;
  }
  drawDays(kept.days);
  drawQuality(kept.quality);
  drawDrift(kept.drift);
  drawBudget(kept.budget);
}

function drawDays(days) {
  $("days-part").hidden = days.length === 0;
  if (!days.length) return;
  const bars = days.map((day, index) => ({ from: index, to: index + 1, y: day.count }));
  const step = Math.ceil(days.length / 4);
  const values = days.map((_, index) => index).filter((index) => index % step === 0);
  const said = (index) => new Date(days[index].day).toLocaleDateString(document.documentElement.lang, { day: "numeric", month: "short" });
  const width = Math.max(days.length, 7);
  chart($("days"), { height: 170, says: days.map((day) => `${day.day}: ${day.count}`).join("; "), bars, x: { min: 0, max: width, values, format: said }, y: { format: compact } });
  const sum = (name) => days.reduce((total, day) => total + day[name], 0);
  $("days-under").textContent = `${number(sum("count"))} ${words.kept} · ${number(sum("corrected"))} ${words.corrected}`;
}

function drawQuality(quality) {
  const known = quality?.versions.filter((version) => version.samples) ?? [];
  if (!known.length) {
    $("quality").replaceChildren(element("p", { class: "soft", text: words.no_quality }));
    return;
  }
  const now = known.find((version) => version.version === quality.version) ?? known.at(-1);
  // Of a few pictures no rate can be told; the chart below shows how wide its interval is.
  $("live").textContent = now.samples < FEW ? "–" : percent(now.value, 1);
  $("live-under").textContent = now.samples < FEW ? `${number(now.samples)} ${words.of} ${number(now.chosen)} ${words.looked}` : `${percent(now.low, 1)} – ${percent(now.high, 1)} · ${number(now.samples)} ${words.of} ${number(now.chosen)} ${words.looked}`;
  chart($("quality"), {
    height: 180,
    says: known.map((version) => `${versionName(version.version)}: ${percent(version.value, 1)}`).join("; "),
    lines: [{ dots: true, points: known.map((version, index) => ({ x: index, y: version.value, low: version.low, high: version.high, label: `${versionName(version.version)} · ${percent(version.value, 1)}` })) }],
    x: { min: -0.5, max: known.length - 0.5, values: known.map((_, index) => index), format: (index) => versionName(known[index].version) },
    y: { format: rateOnAxis },
  });
}

function drawDrift(drift) {
  if (!drift) {
    $("drift-words").textContent = words.no_drift;
    return;
  }
  $("drift").textContent = drift.drifted.length ? number(drift.drifted.length) : words.none;
  $("drift-under").textContent = drift.drifted.length ? drift.drifted.map((name) => words.features[name] ?? name).join(", ") : moment(drift.at);
  $("drift-words").textContent = `${number(drift.recent)} ${words.drift_of} ${drift.reference.uploads_of ? `${words.first_uploads} ${drift.reference.uploads_of}` : drift.reference.of} (${number(drift.reference.count)})`;
  const features = Object.entries(drift.features).sort((one, other) => other[1].psi - one[1].psi);
  // The one that went furthest stands open; the others say how far, and open on a click.
  $("features").replaceChildren(...features.map(([name, feature], index) => drawFeature(name, feature, drift.threshold, index === 0)));
}

/** A feature: how far it went against what is allowed, and in its details where to. */
function drawFeature(name, feature, threshold, open) {
  const bins = feature.bins.slice(0, 12);
  const most = Math.max(...bins.map((bin) => Math.max(bin.reference, bin.recent)));
  const list = element("ul", { class: "shares" }, ...bins.map((bin) => drawBin(bin, most, name)));
  const examples = mayLook && feature.examples.length ? element("div", { class: "strange" }, element("p", { class: "soft small", text: words.examples }), ...feature.examples.map((sha256) => element("img", { src: `${root}/pictures/${sha256}?as=png`, alt: words.examples, loading: "lazy" }))) : null;
  return element(
    "details", { class: "feature", open: open && feature.drifted },
    element("summary", {},
      element("b", { text: words.features[name] ?? feature.words }),
      element("meter", { min: 0, max: 2 * threshold, value: feature.psi, "aria-label": `PSI ${number(feature.psi, 2)}` }),
      element("span", { class: "soft small number", text: `PSI ${number(feature.psi, 2)} / ${number(threshold, 2)}` }),
      element("span", { class: `chip ${feature.drifted ? "warn" : "good"}`, text: feature.drifted ? words.drifted : words.steady })),
    element("div", { class: "feature-parts chart" }, element("div", {}, list, legend([words.recent, words.usual], element)), examples),
  );
}

/** One bin: how much of it there was, and how much there is. */
function drawBin(bin, most, feature) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  [bin.recent, bin.reference].forEach((share, index) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of Object.entries({ class: `f${index}`, x: 0, y: index * 5.5, width: (100 * share) / (most || 1), height: 4.5 })) bar.setAttribute(key, value);
    svg.append(bar);
  });
  return element("li", {}, element("span", { class: "small", text: binName(bin.name, feature), title: bin.name }), svg, element("span", { class: "soft small number", text: percent(bin.recent) }));
}

/** `below 3`, `3 to 5`, `5 and above` as signs; a blank that can be seen. */
function binName(name, feature) {
  if (feature === "mix") return name === " " ? "␣" : name;
  const told = (value) => (feature === "confidence" ? percent(value, 1) : value.toLocaleString(language, { maximumSignificantDigits: 3 }).replace("-", "−"));
  const numbers = (name.match(/-?[\d.]+(?:e[+-]?\d+)?/g) ?? []).map(Number).map(told);
  if (name.startsWith("below ")) return `< ${numbers[0]}`;
  return numbers.length > 1 ? numbers.join(" – ") : `≥ ${numbers[0]}`;
}

function drawBudget(budget) {
  const points = budget?.points ?? [];
  $("budget-part").hidden = points.length < 2;
  if (points.length < 2) return;
  const { gain } = budget;
  // Less than the figures show is nothing.
  const told = gain && (gain.high < 0.00005 ? words.no_gain : `${words.gain} ${number(100 * gain.value, 2)} (${number(100 * gain.low, 2)} – ${number(100 * gain.high, 2)}) %.`);
  $("budget-words").textContent = told ?? "";
  chart($("budget"), { height: 180, says: points.map((point) => `${point.labels}: ${percent(point.value, 1)}`).join("; "), lines: [{ dots: true, points: points.map((point) => ({ x: point.labels, y: point.value })) }], x: { min: 0, format: (count) => `${compact(count)} ${words.labels}` }, y: { format: rateOnAxis } });
}

// --------------------------------------------------------------------------------------- rounds

async function showRounds() {
  if (!$("rounds")) return;
  try {
    const { rounds } = (await ask("/watch/api/rounds")).body;
    const drawn = rounds.map((round, index) => drawRound(round, index === 0));
    $("rounds").replaceChildren(...(drawn.length ? drawn : [element("li", { class: "soft", text: words.no_rounds })]));
  } catch (problem) {
    $("rounds").replaceChildren(element("li", { class: "bad", text: problem.message }));
  }
}

function drawRound(round, open) {
  const kinds = { promoted: "good", refused: "warn", failed: "bad", "nothing new": "quiet", abandoned: "quiet" };
  const outcome = round.outcome ? (words.outcomes[round.outcome] ?? round.outcome) : words.open;
  const steps = round.steps.map((step) =>
    element("li", { class: step.state }, element("b", { text: step.name }), element("span", { class: "state", text: words.states[step.state] ?? step.state }), element("span", { class: "soft small", lang: step.language, text: step.because })),
  );
  return element(
    "li", {},
    element("details", { open: open || null },
      element("summary", {}, element("b", { text: `${words.round} ${round.number}` }), element("span", { class: `chip ${kinds[round.outcome] ?? "warn"}`, text: outcome }), element("span", { class: "soft small", text: `${round.dataset} → ${round.model} · ${moment(round.at)}` })),
      round.reason ? element("p", { class: "small", lang: round.reason_language, text: round.reason }) : null,
      element("ol", { class: "steps" }, ...steps)),
  );
}

showNow();
setInterval(showNow, EVERY_MS);
showKept();
showRounds();
$("model").addEventListener("change", () => {
  showNow();
  showKept();
});
