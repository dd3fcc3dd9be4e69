// Turns the value of every frame of the screen into ratings at fixed moments of media time.

const LONGEST_STEP = 0.5; // s of media time between two frames; a longer one leaves a gap

export class Recorder {
  batch = null; // {first, values: {valence: [], arousal: []}, device} that is not sent yet
  #last = null; // {time, value} of the frame before

  // ratings: {valence: [], arousal: []} by moment, which `step` fills
  constructor(ratings, dimensions, rate) {
    Object.assign(this, { ratings, dimensions, rate, moments: ratings.valence.length });
  }

  // A take begins, or continues after a jump in time.
  restart() {
    this.#last = null;
  }

  step(time, value, device) {
    const now = { time, value: { ...value } };
    const before = this.#last;
    if (before && time <= before.time) return; // the media clock has not moved on
    this.#last = now;
    if (before && time - before.time > LONGEST_STEP) return;
    const start = before ? Math.floor(before.time * this.rate + 1e-6) + 1 : Math.ceil(time * this.rate - 1e-6);
    const end = Math.min(Math.floor(time * this.rate + 1e-6), this.moments - 1);
    for (let moment = start; moment <= end; moment++) {
      const share = before ? (moment / this.rate - before.time) / (time - before.time) : 1;
      this.#add(moment, device, (name) => (before ?? now).value[name] * (1 - share) + now.value[name] * share);
    }
  }

  // What has been rated since the last call, as a message; null if nothing.
  take(face) {
    const batch = this.batch;
    this.batch = null;
    return batch && { type: "ratings", face, first: batch.first, device: batch.device, ...batch.values };
  }

  #add(moment, device, valueOf) {
    const batch = this.batch;
    const next = batch && batch.first + batch.values[this.dimensions[0]].length;
    if (batch && (batch.device !== device || next !== moment)) this.full(batch);
    this.batch ??= { first: moment, device, values: Object.fromEntries(this.dimensions.map((name) => [name, []])) };
    for (const name of this.dimensions) {
      const value = Math.round(valueOf(name) * 1e4) / 1e4;
      this.ratings[name][moment] = value;
      this.batch.values[name].push(value);
    }
  }

  // Overridden by the page: a batch must be sent before another one begins.
  full() {}
}
