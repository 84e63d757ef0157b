// Small SVG charts: lines with intervals, areas and bars. No library, no style in attributes.

import { language, number, percent } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";
// Who watches the width of a chart's place; drawn anew, it is watched anew.
const observers = new WeakMap();
// Width of a letter of the labels, px, about.
const LETTER = 6.6;
const EDGE = { left: 46, right: 14, top: 12, bottom: 28 };

function make(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Round steps that cut a range into about `count` pieces. */
export function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * power >= rough) * power;
  const made = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) made.push(Math.abs(at) < step / 1e6 ? 0 : at);
  return made;
}

/**
 * Draw a chart and redraw it whenever its place changes width.
 *
 * `spec.lines`: `{name, points: [{x, y, low?, high?, label?}], area?, dots?}`, x ascending;
 * `spec.bars`: `{from, to, y}`; `spec.x` and `spec.y`: `{format, min?, max?, values?}`, where the
 * format of `y` is also told the step between two levels, if there is one;
 * `spec.target`: a level to compare with; `spec.says`: the chart in one sentence, for those who
 * hear the page.
 */
export function chart(host, spec) {
  observers.get(host)?.disconnect();
  const draw = () => {
    const width = Math.max(host.clientWidth, 220);
    host.replaceChildren(drawn(spec, width, spec.height ?? 200));
  };
  draw();
  let last = host.clientWidth;
  const observer = new ResizeObserver(() => {
    if (Math.abs(host.clientWidth - last) < 2) return;
    last = host.clientWidth;
    draw();
  });
  observer.observe(host);
  observers.set(host, observer);
}

function drawn(spec, width, height) {
  const lines = spec.lines ?? [];
  const bars = spec.bars ?? [];
  const points = lines.flatMap((line) => line.points);
  const xs = [...points.map((point) => point.x), ...bars.flatMap((bar) => [bar.from, bar.to])];
  const ys = [...points.flatMap((point) => [point.high ?? point.y]), ...bars.map((bar) => bar.y), spec.target ?? 0];
  const xLow = spec.x.min ?? Math.min(...xs);
  const xHigh = spec.x.max ?? Math.max(...xs);
  const yLow = spec.y.min ?? 0;
  const yHigh = spec.y.max ?? (Math.max(...ys, yLow + 1e-9) * 1.08 || 1);
  const x = (value) => EDGE.left + ((width - EDGE.left - EDGE.right) * (value - xLow)) / (xHigh - xLow || 1);
  const y = (value) => height - EDGE.bottom - ((height - EDGE.top - EDGE.bottom) * (Math.min(value, yHigh) - yLow)) / (yHigh - yLow || 1);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spec.says });

  const levels = ticks(yLow, yHigh, 4);
  for (const value of levels) {
    svg.append(make("line", { class: "grid-line", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }));
    svg.append(make("text", { x: EDGE.left - 8, y: y(value) + 4, "text-anchor": "end" }, spec.y.format(value, levels[1] - levels[0])));
  }
  const marks = spec.x.values ?? ticks(xLow, xHigh, Math.max(2, Math.floor(width / 110)));
  let free = 0;
  for (const value of marks) {
    const text = spec.x.format(value);
    const side = anchor(x(value), width);
    const begin = x(value) - text.length * LETTER * { start: 0, middle: 0.5, end: 1 }[side];
    if (begin < free) continue; // it would stand on the one before
    free = begin + text.length * LETTER + LETTER;
    svg.append(make("text", { x: x(value), y: height - 8, "text-anchor": side }, text));
  }
  for (const bar of bars) {
    const left = x(bar.from) + 1;
    svg.append(make("rect", { class: "f0", x: left, y: y(bar.y), width: Math.max(1, x(bar.to) - left - 1), height: Math.max(0, height - EDGE.bottom - y(bar.y)), rx: 2 }));
  }
  if (spec.target !== undefined) svg.append(make("line", { class: "target", x1: EDGE.left, x2: width - EDGE.right, y1: y(spec.target), y2: y(spec.target) }));
  lines.forEach((line, index) => {
    const path = line.points.map((point) => `${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`).join(" L ");
    if (!path) return;
    if (line.area) {
      const first = x(line.points[0].x).toFixed(1);
      const last = x(line.points.at(-1).x).toFixed(1);
      svg.append(make("path", { class: `area f${index}`, d: `M ${first} ${y(yLow)} L ${path} L ${last} ${y(yLow)} Z` }));
    }
    svg.append(make("path", { class: `curve c${index}`, d: `M ${path}` }));
    for (const point of line.points) {
      if (point.low !== undefined) svg.append(make("line", { class: "whisker", x1: x(point.x), x2: x(point.x), y1: y(point.low), y2: y(point.high) }));
      if (line.dots) {
        const dot = make("circle", { class: `mark c${index}`, cx: x(point.x), cy: y(point.y), r: 4.5 });
        dot.append(make("title", {}, point.label ?? `${spec.x.format(point.x)}: ${spec.y.format(point.y)}`));
        svg.append(dot);
      }
    }
  });
  return svg;
}

/** Labels at the edges stay inside. */
function anchor(at, width) {
  if (at < EDGE.left + 14) return "start";
  return at > width - EDGE.right - 24 ? "end" : "middle";
}

/** The names of lines with their colours. */
export function legend(names, element) {
  return element("p", { class: "legend" }, ...names.map((name, index) => element("span", {}, element("i", { class: `k${index}` }), name)));
}

export function compact(value) {
  return value.toLocaleString(language, { notation: "compact", maximumFractionDigits: 1 });
}

/** As many digits as tell the levels of an axis apart, `most` at most. */
function digitsOf(step, most) {
  for (let digits = 0; digits < most; digits++) {
    const shown = step * 10 ** digits;
    if (Math.abs(shown - Math.round(shown)) < 1e-6) return digits;
  }
  return most;
}

/** A rate beside an axis. */
export function rateOnAxis(value, step = 0.0001) {
  return percent(value, digitsOf(100 * step, 2));
}

/** A number beside an axis. */
export function numberOnAxis(value, step = 0.01) {
  return number(value, digitsOf(step, 4));
}
