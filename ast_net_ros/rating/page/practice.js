// A drawn face that moves along known curves, to practise on; and how well the rater followed.

const SECONDS = 30;
const LONGEST_LAG = 2; // s
const LEAST_CORRELATION = 0.5;

export const CURVES = {
  valence: (t) => 0.55 * Math.sin((2 * Math.PI * t) / 11) + 0.3 * Math.sin((2 * Math.PI * t) / 4.7 + 1),
  arousal: (t) => 0.5 * Math.sin((2 * Math.PI * t) / 8 + 2) + 0.35 * Math.sin((2 * Math.PI * t) / 17),
};

// Plays like a video.
export class Practice {
  duration = SECONDS;
  #from = 0;
  #since = null;

  constructor(canvas) {
    this.canvas = canvas;
  }

  get time() {
    return Math.min(this.#from + (this.#since === null ? 0 : (performance.now() - this.#since) / 1000), SECONDS);
  }

  get ended() {
    return this.time >= SECONDS;
  }

  async play() {
    this.#since = performance.now();
  }

  pause() {
    this.#from = this.time;
    this.#since = null;
  }

  seek(time) {
    this.#from = Math.min(Math.max(time, 0), SECONDS);
    if (this.#since !== null) this.#since = performance.now();
  }

  draw() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const ratio = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * ratio, height * ratio];
    const context = this.canvas.getContext("2d");
    const size = Math.min(width, height) * 0.4 * ratio;
    context.translate((width / 2) * ratio, (height / 2) * ratio);
    context.scale(size, size);
    context.lineWidth = 0.03;
    context.lineCap = "round";
    context.strokeStyle = "#aab2bd";
    const [valence, arousal] = [CURVES.valence(this.time), CURVES.arousal(this.time)];
    const line = (draw) => (context.beginPath(), draw(), context.stroke());
    line(() => context.ellipse(0, 0, 0.8, 1, 0, 0, 2 * Math.PI));
    for (const side of [-1, 1]) {
      line(() => context.ellipse(side * 0.3, -0.22, 0.12, 0.1 + 0.075 * arousal, 0, 0, 2 * Math.PI));
      const brow = -0.48 - 0.12 * arousal;
      line(() => (context.moveTo(side * 0.15, brow - 0.07 * Math.min(valence, 0)), context.lineTo(side * 0.45, brow)));
    }
    line(() => {
      context.moveTo(-0.35, 0.45 - 0.2 * valence);
      context.quadraticCurveTo(0, 0.45 + 0.3 * valence, 0.35, 0.45 - 0.2 * valence);
    });
  }
}

// How far ratings of a dimension, by moment, are behind the drawing and beside it: {lag in seconds, mean absolute error
// after the lag}. null where they do not follow it: the lag is the one of the highest correlation, since every rater has
// a scale of their own.
export function followed(ratings, dimension, rate) {
  let best = { correlation: LEAST_CORRELATION };
  for (let shift = 0; shift <= LONGEST_LAG * rate; shift++) {
    const pairs = [];
    for (let moment = LONGEST_LAG * rate; moment < ratings.length; moment++) {
      if (ratings[moment] !== null) pairs.push([ratings[moment], CURVES[dimension]((moment - shift) / rate)]);
    }
    const correlation = correlationOf(pairs);
    const error = pairs.reduce((sum, [a, b]) => sum + Math.abs(a - b), 0) / pairs.length;
    if (correlation > best.correlation) best = { correlation, lag: shift / rate, error };
  }
  return best.lag === undefined ? null : best;
}

function correlationOf(pairs) {
  const mean = (of) => pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length;
  const [a, b] = [mean((pair) => pair[0]), mean((pair) => pair[1])];
  const spread = Math.sqrt(mean((pair) => (pair[0] - a) ** 2) * mean((pair) => (pair[1] - b) ** 2));
  return mean((pair) => (pair[0] - a) * (pair[1] - b)) / spread; // NaN where nothing moves
}
