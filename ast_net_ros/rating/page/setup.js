// The screen before rating: what to rate, and whose face.

import { boxAt, drawBoxes } from "./drawing.js";

const $ = (id) => document.getElementById(id);

export const dimensionsOf = (protocol) => (protocol === "both" ? ["valence", "arousal"] : [protocol]);

// Number of the first moment from `from` on that lacks a rating; null if there is none.
export function firstUnrated(ratings, dimensions, from = 0) {
  const moments = ratings.valence.length;
  for (let moment = from; moment < moments; moment++) {
    if (dimensions.some((name) => ratings[name][moment] === null)) return moment;
  }
  return null;
}

// Share of the moments that are rated in all these dimensions.
export function share(ratings, dimensions) {
  const rated = ratings.valence.filter((_, moment) => dimensions.every((name) => ratings[name][moment] !== null));
  return rated.length / ratings.valence.length;
}

export function clock(seconds) {
  const whole = Math.floor(seconds + 1e-6);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

const percent = (part) => `${part > 0 && part < 0.01 ? "under 1" : Math.floor(100 * part)} % rated`;

export class Setup {
  #session = null;
  #face = null;
  #protocol = "valence";

  // choose: is called with {face, protocol} whenever one changes
  constructor(choose) {
    this.choose = choose;
    for (const input of document.querySelectorAll("[name=protocol]")) {
      input.addEventListener("change", () => this.#update(this.#face, input.value));
    }
    const redraw = () => document.body.dataset.screen === "setup" && this.#drawPreview();
    for (const event of ["seeked", "loadeddata"]) $("preview").addEventListener(event, redraw);
    addEventListener("resize", redraw);
  }

  fill(session) {
    this.#session = session;
    const several = session.faces.length > 1;
    $("choose-face").hidden = !several;
    if (several) {
      $("preview").src = "recording.webm";
      $("faces").replaceChildren(...session.faces.map((face) => this.#faceChoice(face)));
    }
    const [first] = session.faces;
    const open = ["valence", "arousal"].find((name) => share(first.ratings, [name]) < 1);
    this.#update(first, session.protocol || open || "valence");
    for (const button of document.querySelectorAll(".actions button")) button.disabled = false;
    $("begin").focus({ preventScroll: true });
  }

  // Show the screen again; where a dimension has been completed, propose the other one.
  enter(face, protocol, advance) {
    const other = { valence: "arousal", arousal: "valence" }[protocol];
    const done = advance && other && share(face.ratings, [protocol]) === 1 && share(face.ratings, [other]) < 1;
    this.#update(face, done ? other : protocol);
    $("begin").focus();
  }

  leave() {
    $("preview").pause();
  }

  // Boxes matter only where somebody else could be meant.
  drawBoxes(canvas, video, faces, time, named) {
    drawBoxes(canvas, video, this.#session.faces.length > 1 ? faces : [], time, named);
  }

  #update(face, protocol) {
    if (face !== this.#face) $("preview").currentTime = face.times[Math.floor(face.times.length / 2)] ?? 0;
    [this.#face, this.#protocol] = [face, protocol];
    for (const input of document.querySelectorAll("[name=protocol]")) {
      input.checked = input.value === protocol;
      input.parentElement.querySelector("i").textContent = percent(share(face.ratings, dimensionsOf(input.value)));
    }
    for (const input of document.querySelectorAll("[name=face]")) input.checked = input.value === face.face;
    const gap = firstUnrated(face.ratings, dimensionsOf(protocol));
    $("begin").textContent = gap === 0 ? "Start" : gap === null ? "Rate again" : `Continue at ${clock(gap / this.#session.rate)}`;
    this.choose({ face, protocol });
  }

  #faceChoice(face) {
    const [label, input, text, details] = ["label", "input", "span", "small"].map((name) => document.createElement(name));
    Object.assign(input, { type: "radio", name: "face", value: face.face });
    input.addEventListener("change", () => this.#update(face, this.#protocol));
    const name = document.createElement("b");
    name.textContent = face.face;
    const rated = percent(share(face.ratings, ["valence", "arousal"]));
    details.textContent = `from ${clock(face.times[0] ?? 0)} to ${clock(face.times.at(-1) ?? 0)}, ${rated}`;
    text.append(name, details);
    label.append(input, text);
    return label;
  }

  #drawPreview() {
    const time = $("preview").currentTime;
    drawBoxes($("preview-boxes"), $("preview"), this.#session.faces.filter((face) => boxAt(face, time)), time, this.#face);
  }
}
