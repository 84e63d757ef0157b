// Data: the label doctor on demand, and what changed between two versions.

import { ask, element, note, number, root, send, wordsOf } from "./page.js";

const words = wordsOf("words");
// Changes shown before somebody asks for the rest; a phone shows them one under the other.
const AT_ONCE = 12;

function picture(sha256, alt) {
  if (!sha256) return null;
  const shown = element("img", { src: `${root}/pictures/${sha256}`, alt, loading: "lazy" });
  // What a browser cannot show (TIFF, say) the server turns into PNG.
  shown.addEventListener("error", () => (shown.src = `${root}/pictures/${sha256}?as=png`), { once: true });
  return shown;
}

// --------------------------------------------------------------------------------- label doctor

for (const doctor of document.querySelectorAll(".doctor")) {
  const button = doctor.querySelector("button");
  button.addEventListener("click", () => lookOver(doctor, button));
  if ("atOnce" in doctor.dataset) lookOver(doctor, button);
}

async function lookOver(doctor, button) {
  const said = doctor.querySelector(".said");
  button.disabled = true;
  said.textContent = words.looking;
  said.classList.add("busy");
  try {
    const { body } = await send("/data/api/audit", { task: doctor.dataset.task });
    said.textContent = `${number(body.samples)} ${words.pictures} ${words.looked}.`;
    const findings = body.findings.map(drawFinding);
    if (!findings.length) findings.push(element("p", { class: "good", text: `✓ ${words.healthy}` }));
    doctor.querySelector(".findings").replaceChildren(...findings);
  } catch (problem) {
    said.textContent = problem.message;
    note(problem.message, "bad", problem.hint);
  }
  said.classList.remove("busy");
  button.disabled = false;
}

function drawFinding(finding) {
  const kinds = { error: "bad", warning: "warn", info: "quiet" };
  const subjects = finding.subjects.slice(0, 12).map((one) => element("span", { class: "chip quiet", text: `${one.value} × ${number(one.samples)}` }));
  const examples = finding.examples.map((one) =>
    element("figure", { class: "example" }, picture(one.sha256, one.name), element("figcaption", {}, element("b", { class: "small", text: one.name }), element("span", { class: "soft small", lang: one.language, text: one.message }))),
  );
  if (finding.count > examples.length) examples.push(element("p", { class: "soft", text: `… ${number(finding.count - examples.length)} ${words.more}` }));
  return element(
    "details", { class: "finding" },
    element("summary", {}, element("span", { class: `chip ${kinds[finding.severity]}`, text: words.severity[finding.severity] }), element("b", { text: finding.name }), element("span", { class: "soft number", text: number(finding.count) })),
    finding.hint ? element("p", { class: "soft small", lang: finding.language, text: `→ ${finding.hint}` }) : null,
    subjects.length ? element("p", { class: "chips" }, ...subjects) : null,
    element("div", { class: "examples" }, ...examples),
  );
}

// --------------------------------------------------------------------------------- differences

for (const form of document.querySelectorAll(".compare")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    compare(form);
  });
}

async function compare(form) {
  const shown = form.parentElement.querySelector(".difference");
  shown.replaceChildren(element("p", { class: "soft busy", text: words.comparing }));
  const query = new URLSearchParams(new FormData(form));
  try {
    const { body } = await ask(`/data/api/diff?${query}`);
    shown.replaceChildren(...drawDifference(body));
  } catch (problem) {
    shown.replaceChildren(element("p", { class: "bad", text: problem.message }));
  }
}

function drawDifference(found) {
  const kinds = ["added", "removed", "relabelled", "moved"].filter((kind) => found[kind]);
  if (!kinds.length) return [element("p", { class: "soft", text: words.same })];
  return kinds.map((kind) => {
    const members = found.changes[kind].map((one) => {
      const value = kind === "moved" ? (name) => words.splits[name] ?? name : (name) => name;
      const said = "label" in one ? [element("span", { lang: "vi", text: one.label }), element("span", { class: "soft small", text: words.splits[one.split] ?? one.split })] : [element("span", { lang: "vi" }, element("del", { text: value(one.before) }), " → ", element("ins", { text: value(one.after) }))];
      return element("figure", { class: "example" }, picture(one.sha256, one.label ?? one.after), element("figcaption", {}, ...said));
    });
    const place = element("div", { class: "examples" }, ...members.slice(0, AT_ONCE));
    const rest = members.slice(AT_ONCE);
    const told = found[kind] - members.length;
    const untold = told > 0 ? element("p", { class: "soft", text: `… ${number(told)} ${words.more}` }) : "";
    const all = () => {
      more.remove();
      place.append(...rest, untold);
    };
    const more = rest.length ? element("button", { class: "button", type: "button", text: `${words.show} ${number(rest.length)}`, onclick: all }) : untold;
    return element("section", { class: "change" }, element("h3", { text: `${number(found[kind])} ${words.kinds[kind]}` }), place, more);
  });
}
