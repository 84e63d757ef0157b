// The picture under review: shown at once where it was fetched ahead, zoomed, turned, inverted.

import { element, root } from "./page.js";

const STEP = 1.25;

/** Pictures fetched and decoded before they are asked for. */
export class Pictures {
  constructor() {
    this.kept = new Map();
  }

  /** Begin to fetch the picture of an item. */
  fetch(item) {
    if (this.kept.has(item.sha256)) return this.kept.get(item.sha256);
    const shown = element("img", { alt: "", class: "stage-picture", draggable: "false" });
    shown.decoding = "sync"; // it is decoded by the time it is shown
    shown.addEventListener("error", () => (shown.src = `${root}${item.picture}?as=png`), { once: true });
    shown.src = root + item.picture;
    const kept = { shown, ready: shown.decode().catch(() => undefined) };
    this.kept.set(item.sha256, kept);
    return kept;
  }

  /** Let go of all but these. */
  keep(items) {
    const wanted = new Set(items.map((item) => item.sha256));
    for (const sha256 of this.kept.keys()) if (!wanted.has(sha256)) this.kept.delete(sha256);
  }
}

export class Stage {
  constructor(host) {
    this.host = host;
    this.reset();
    host.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? STEP : 1 / STEP);
    }, { passive: false });
    new ResizeObserver(() => this.place()).observe(host);
  }

  show(picture) {
    this.picture = picture;
    this.host.replaceChildren(picture);
    this.reset();
    if (!picture.complete) picture.addEventListener("load", () => this.place(), { once: true });
  }

  reset() {
    this.scale = 1;
    this.turned = 0;
    this.inverted = false;
    this.place();
  }

  zoom(factor) {
    this.scale = Math.min(12, Math.max(0.5, this.scale * factor));
    this.place();
  }

  larger() {
    this.zoom(STEP);
  }

  smaller() {
    this.zoom(1 / STEP);
  }

  turn() {
    this.turned = (this.turned + 90) % 360;
    this.place();
  }

  invert() {
    this.inverted = !this.inverted;
    this.place();
  }

  /** Fit the turned picture into its place, then enlarge it as asked; it scrolls where it is larger. */
  place() {
    const { picture, host } = this;
    if (!picture?.naturalWidth) return;
    const lying = this.turned % 180 === 90;
    const [width, height] = lying ? [picture.naturalHeight, picture.naturalWidth] : [picture.naturalWidth, picture.naturalHeight];
    const room = 32;
    const fit = Math.min((host.clientWidth - room) / width, (host.clientHeight - room) / height, 3);
    const size = Math.max(fit, 0.01) * this.scale;
    picture.style.width = `${picture.naturalWidth * size}px`;
    picture.style.height = `${picture.naturalHeight * size}px`;
    // A turned box keeps its old place; half the difference on each side makes up for it.
    const shift = lying ? ((picture.naturalWidth - picture.naturalHeight) * size) / 2 : 0;
    picture.style.margin = `${shift}px ${-shift}px`;
    picture.style.transform = this.turned ? `rotate(${this.turned}deg)` : "";
    picture.classList.toggle("inverted", this.inverted);
  }
}
