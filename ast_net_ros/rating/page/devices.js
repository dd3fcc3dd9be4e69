// The value that the rater gives at the moment, from mouse, touch, pen, arrow keys or gamepad.

const EDGE = 0.06; // of the pad's side, outside its scale
const KEY_SPEED = 0.9; // of the scale from -1 to 1, in a second
const SLOW_KEY_SPEED = 0.3;
const DEAD_ZONE = 0.06; // of a stick
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

const clamp = (value) => Math.min(Math.max(value, -1), 1);

export class Devices {
  value = { valence: 0, arousal: 0 };
  device = "mouse";
  protocol = "both";
  enabled = false; // whether arrow keys and gamepad move the value
  #held = new Set();
  #slow = false;
  #stick = false; // whether the gamepad gives the value
  #buttons = [];

  // buttons: functions that the first buttons of a gamepad call
  constructor(pad, buttons) {
    this.pad = pad;
    this.buttons = buttons;
    pad.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse") pad.setPointerCapture(event.pointerId);
      this.#point(event);
    });
    pad.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || event.pressure > 0 || event.buttons) this.#point(event);
    });
    // A fast hand leaves the pad between two events: it means the border where it left.
    pad.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.#point(event));
    addEventListener("keydown", (event) => {
      this.#slow = event.shiftKey;
      if (!this.enabled || !(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
      this.#held.add(event.key);
      event.preventDefault();
    });
    addEventListener("keyup", (event) => {
      this.#slow = event.shiftKey;
      this.#held.delete(event.key);
    });
    addEventListener("blur", () => this.#held.clear());
  }

  // Set the dimensions that are rated; null leaves one as it is.
  set(valence, arousal, device = this.device) {
    if (valence !== null && this.protocol !== "arousal") this.value.valence = clamp(valence);
    if (arousal !== null && this.protocol !== "valence") this.value.arousal = clamp(arousal);
    this.device = device;
    this.#stick = device === "gamepad";
  }

  // Once for each frame of the screen.
  update(seconds) {
    this.#readGamepad();
    if (this.enabled && this.#held.size) {
      const step = seconds * (this.#slow ? SLOW_KEY_SPEED : KEY_SPEED);
      let [x, y] = [...this.#held].reduce(([a, b], key) => [a + KEYS[key][0], b + KEYS[key][1]], [0, 0]);
      if (this.protocol !== "both") x = y = x + y; // of one dimension, both pairs of keys move the same value
      this.set(this.value.valence + x * step, this.value.arousal + y * step, "keyboard");
    }
  }

  #point(event) {
    const box = this.pad.getBoundingClientRect();
    const place = (at, start, length) => ((at - start) / length - 0.5) / (0.5 - EDGE);
    this.set(place(event.clientX, box.left, box.width), -place(event.clientY, box.top, box.height), event.pointerType || "mouse");
  }

  #readGamepad() {
    const gamepad = navigator.getGamepads?.().find((one) => one?.connected);
    if (!gamepad) return;
    const pressed = gamepad.buttons.map((button) => button.pressed);
    this.buttons.forEach((act, index) => pressed[index] && !this.#buttons[index] && act());
    this.#buttons = pressed;
    const [x, y] = gamepad.axes.map((axis) => (Math.abs(axis) < DEAD_ZONE ? 0 : axis));
    if (this.enabled && (this.#stick || x || y)) this.set(x, -y, "gamepad");
  }

  // Where the dot is, in percent of the pad.
  get place() {
    const { valence, arousal } = this.value;
    const percent = (value) => 50 + value * (50 - 100 * EDGE);
    return [this.protocol === "arousal" ? 50 : percent(valence), this.protocol === "valence" ? 50 : percent(-arousal)];
  }
}
