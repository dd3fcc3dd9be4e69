// What is drawn: the trace of the last seconds, the time line with what is rated, and the boxes of faces.

const TRACE_SECONDS = 10;
const BOX_SECONDS = 0.5; // a box is shown this long after its face was seen
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(`--${name}`).trim();
const COLOURS = { valence: colour("valence"), arousal: colour("arousal") };
const [LINE, FAINT, TEXT] = [colour("line"), colour("faint"), colour("text")];

// The context of a canvas in CSS pixels, cleared.
function prepared(canvas) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  return [context, width, height];
}

// ratings: {valence: [], arousal: []} by moment, null for none; nothing after `time` is drawn.
export function drawTrace(canvas, ratings, dimensions, time, rate) {
  const [context, width, height] = prepared(canvas);
  const right = width - 64;
  const across = (seconds) => right - ((time - seconds) / TRACE_SECONDS) * (right - 8);
  const up = (value) => height / 2 - value * (height / 2 - 8);
  context.strokeStyle = LINE;
  context.lineWidth = 1;
  context.beginPath();
  for (const value of [-1, 0, 1]) context.moveTo(8, Math.round(up(value)) + 0.5), context.lineTo(right, Math.round(up(value)) + 0.5);
  context.stroke();
  const last = Math.floor(time * rate + 1e-6);
  for (const dimension of dimensions) {
    context.strokeStyle = context.fillStyle = COLOURS[dimension];
    context.lineWidth = 2;
    context.beginPath();
    let drawing = false;
    for (let moment = Math.max(0, last - TRACE_SECONDS * rate); moment <= last; moment++) {
      const value = ratings[dimension][moment] ?? null;
      if (value === null) drawing = false;
      else if (drawing) context.lineTo(across(moment / rate), up(value));
      else context.moveTo(across(moment / rate), up(value)), (drawing = true);
    }
    context.stroke();
    context.fillText(dimension, right + 8, dimension === dimensions[0] ? 18 : height - 10);
  }
}

export function drawTimeline(canvas, ratings, moments, time, rate) {
  const [context, width, height] = prepared(canvas);
  const rows = { valence: [height / 2 - 9, 6], arousal: [height / 2 + 3, 6] };
  for (const [dimension, [top, high]] of Object.entries(rows)) {
    context.fillStyle = LINE;
    context.fillRect(4, top, width - 8, high);
    context.fillStyle = COLOURS[dimension];
    for (let start = 0; start < moments; ) {
      let end = start;
      while (end < moments && ratings[dimension][end] !== null) end++;
      if (end > start) context.fillRect(4 + (start / moments) * (width - 8), top, ((end - start) / moments) * (width - 8), high);
      start = end + 1;
    }
  }
  context.fillStyle = TEXT;
  context.fillRect(4 + ((time * rate) / moments) * (width - 8) - 1, 2, 2, height - 4);
}

// The box of a face at a time: [left, top, width, height] as shares of the image, or null where it is not visible.
export function boxAt(face, time) {
  let [low, high] = [0, face.times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (face.times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low && time - face.times[low - 1] < BOX_SECONDS ? face.boxes[low - 1] : null;
}

export function drawBoxes(canvas, video, faces, time, named) {
  const [context, width, height] = prepared(canvas);
  if (!video.videoWidth) return;
  const scale = Math.min(width / video.videoWidth, height / video.videoHeight);
  const [wide, high] = [video.videoWidth * scale, video.videoHeight * scale];
  const [left, top] = [(width - wide) / 2, (height - high) / 2];
  for (const face of faces) {
    const box = boxAt(face, time);
    if (!box) continue;
    const [x, y, boxWide, boxHigh] = [left + box[0] * wide, top + box[1] * high, box[2] * wide, box[3] * high];
    context.strokeStyle = context.fillStyle = face === named ? "#ffffffc0" : FAINT;
    context.lineWidth = 2;
    drawCorners(context, x, y, boxWide, boxHigh);
    if (faces.length > 1) context.fillText(face.face, x, y - 6);
  }
}

// The corners of a box: a whole frame around a face draws the eyes away from it.
function drawCorners(context, x, y, wide, high) {
  const length = Math.min(wide, high) / 5;
  context.beginPath();
  for (const [cornerX, inward] of [[x, length], [x + wide, -length]]) {
    for (const [cornerY, downward] of [[y, length], [y + high, -length]]) {
      context.moveTo(cornerX + inward, cornerY);
      context.lineTo(cornerX, cornerY);
      context.lineTo(cornerX, cornerY + downward);
    }
  }
  context.stroke();
}
