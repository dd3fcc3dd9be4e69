// The page: what is shown when, and what buttons and keys do.

import { Connection } from "./connection.js";
import { Devices } from "./devices.js";
import { drawTimeline, drawTrace } from "./drawing.js";
import { VideoPlayer } from "./player.js";
import { Practice, followed } from "./practice.js";
import { Recorder } from "./recorder.js";
import { Setup, clock, dimensionsOf, firstUnrated, share } from "./setup.js";

const BACK = 5; // s
const SEND_MS = 500;
const TIMELINE_MS = 100; // of an hour, it has 180 000 ratings to look at
const REST_MS = 25 * 60_000;
const FORMAT = 'video/webm; codecs="vp8"';

const $ = (id) => document.getElementById(id);
const video = $("video");
let session = null; // the server's state message
let face = null; // the one that is rated, of session.faces
let protocol = "valence";
let player = null;
let recorder = null;
let practising = false;
let mode = "idle"; // or countdown, rating, watching
let countdown = 0; // its timer
let began = performance.now(); // of rating without a long pause

const devices = new Devices($("pad"), [() => toggle(), () => back()]);
const connection = new Connection({
  state: (message) => (session ? resume(message) : start(message)),
  saved: () => connection.unsaved || (status("Saved"), problem("")),
  unsaved: ({ reason }) => (pause(), status("Not saved", true), problem(`Not saved: ${reason}. Free disk space; the ratings are kept and saved with the next ones.`)),
  refused: ({ reason }) => (pause(), problem(`Refused: ${reason}`)),
  finished: () => (status("Finished"), problem(""), show("done")),
  lost: () => {
    pause();
    status("Not connected", true);
    problem("No connection to ast_net rate. If it has ended, start it again and open the address that it prints: all ratings except those of the last moment are saved.");
  },
  replaced: () => {
    pause();
    show("elsewhere");
    problem("This session continues in another tab. Close this one.");
  },
});
const setup = new Setup((chosen) => {
  [face, protocol] = [chosen.face, chosen.protocol];
});

function start(message) {
  session = message;
  for (const { ratings } of session.faces) {
    for (const name of ["valence", "arousal"]) ratings[name] ??= new Array(session.moments).fill(null);
  }
  document.title = `Rate ${session.recording}`;
  $("recording").textContent = session.recording;
  $("who").textContent = `rated by ${session.rater}`;
  if (!video.canPlayType(FORMAT)) {
    problem("This browser cannot play WebM videos in VP8. Use Firefox, Chrome, Edge, or Safari 16.4 or newer.");
    return;
  }
  video.src = "recording.webm";
  setup.fill(session);
  status("Connected");
}

// The connection is back; the page knows its ratings best.
function resume(message) {
  if (message.recording !== session.recording || message.rater !== session.rater) location.reload();
  problem("");
  status("Connected");
}

function begin(practice) {
  practising = practice;
  setup.leave();
  const dimensions = dimensionsOf(protocol);
  const rate = session.rate;
  const duration = (session.moments - 1) / rate;
  if (practice) {
    player = new Practice($("drawing"));
    const empty = () => new Array(player.duration * rate + 1).fill(null);
    recorder = new Recorder({ valence: empty(), arousal: empty() }, dimensions, rate);
  } else {
    player = new VideoPlayer(video, duration);
    recorder = new Recorder(face.ratings, dimensions, rate);
    const gap = firstUnrated(face.ratings, dimensions);
    seek(gap === null ? 0 : gap / rate);
  }
  recorder.full = send;
  devices.protocol = protocol;
  document.body.dataset.protocol = protocol;
  $("drawing").hidden = !practice;
  video.hidden = practice;
  $("next").disabled = practice;
  devices.enabled = true;
  note("");
  show("rating");
  $("pad").focus({ preventScroll: true });
}

function show(screen) {
  document.body.dataset.screen = screen;
}

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function status(text, warn = false) {
  $("status").textContent = text;
  $("status").classList.toggle("warn", warn);
}

function note(text) {
  $("paused").textContent = text;
  $("paused").hidden = !text;
}

function enter(next) {
  mode = next;
  const running = next === "rating" || next === "countdown";
  document.body.classList.toggle("running", running);
  $("play").firstElementChild.textContent = running ? "Pause" : "Rate";
  $("watch").firstChild.textContent = next === "watching" ? "Stop " : "Watch ";
  $("countdown").hidden = next !== "countdown";
}

function toggle() {
  if (mode === "rating" || mode === "countdown") return pause("Paused");
  if (document.body.dataset.screen !== "rating" || !(practising || connection.open)) return;
  if (player.ended) seek(0);
  player.pause();
  recorder.restart();
  enter("countdown");
  note("");
  count(Number($("count").value));
}

function count(left) {
  if (left) {
    $("countdown").textContent = left;
    countdown = setTimeout(() => count(left - 1), 1000);
    return;
  }
  enter("rating");
  recorder.step(player.time, devices.value, devices.device);
  player.play().catch((error) => (pause(), problem(`The video does not play: ${error.message}`)));
}

function pause(text = "Paused") {
  clearTimeout(countdown);
  if (mode === "idle") return;
  player.pause();
  if (mode === "rating") recorder.step(player.time, devices.value, devices.device); // to where the next take begins
  enter("idle");
  send();
  const resting = performance.now() - began > REST_MS;
  if (resting) began = performance.now();
  note(resting ? `${text}. You have rated for a while: rest your eyes for a minute.` : text);
}

function watch() {
  const watching = mode === "watching";
  pause();
  if (watching) return;
  if (player.ended) seek(0);
  enter("watching");
  note("");
  player.play();
}

function seek(time) {
  pause();
  player.seek(time);
  recorder.restart();
  takeUp(time);
}

// Go on with the value that was given at a time, so that a second take begins without a jump.
function takeUp(time) {
  const moment = Math.min(Math.round(time * recorder.rate), recorder.moments - 1);
  const { valence, arousal } = recorder.ratings;
  const keep = devices.device;
  devices.set(valence[moment] ?? valence[moment - 1] ?? null, arousal[moment] ?? arousal[moment - 1] ?? null, keep);
}

function back() {
  if (document.body.dataset.screen === "rating") seek(player.time - BACK);
}

function nextUnrated() {
  if (practising) return;
  const { ratings, rate } = recorder;
  const gap = firstUnrated(ratings, recorder.dimensions, Math.floor(player.time * rate)) ?? firstUnrated(ratings, recorder.dimensions);
  if (gap !== null) seek(gap / rate);
  else note(`Everything is rated in ${recorder.dimensions.join(" and ")}`);
}

function leave() {
  pause("");
  note("");
  devices.enabled = false;
  show("setup");
  setup.enter(face, protocol, !practising);
  practising = false;
}

function finish() {
  pause();
  connection.send({ type: "finish" });
  $("files").replaceChildren(...session.faces.filter((one) => share(one.ratings, ["valence"]) || share(one.ratings, ["arousal"])).map((one) => {
    const item = document.createElement("li");
    item.textContent = one.file;
    return item;
  }));
}

function ended() {
  const [name] = recorder.dimensions;
  if (mode === "watching") return pause("End");
  pause();
  if (practising) {
    const results = recorder.dimensions.map((dimension) => {
      const result = followed(recorder.ratings[dimension], dimension, recorder.rate);
      if (!result) return `${dimension}: you did not follow the face closely`;
      return `${dimension}: ${result.lag.toFixed(1)} s behind the face and off by ${result.error.toFixed(2)} on average`;
    });
    note(`${results.join("; ")}. Half a second to a second is usual.`);
  } else {
    const left = 1 - share(recorder.ratings, recorder.dimensions);
    const other = { valence: "arousal", arousal: "valence" }[protocol];
    const next = other && share(recorder.ratings, [other]) < 1 ? `Options leads to ${other}.` : "Options and Finish end the session.";
    note(left > 0 ? `End; ${clock(left * player.duration)} not rated: Next unrated leads there` : `All of ${name} is rated. ${next}`);
  }
}

function send() {
  const message = recorder?.take(face.face);
  if (!message || practising) return;
  status("Saving");
  connection.send(message);
}

let before = performance.now();
function frame(now) {
  const elapsed = Math.min((now - before) / 1000, 0.1);
  before = now;
  devices.update(elapsed);
  if (document.body.dataset.screen === "rating") {
    if (mode === "rating") recorder.step(player.time, devices.value, devices.device);
    if (mode === "watching") takeUp(player.time);
    if ((mode === "rating" || mode === "watching") && player.ended) ended();
    draw(now);
  }
  requestAnimationFrame(frame);
}

let timelineDrawn = 0;
function draw(now) {
  const time = player.time;
  const [left, top] = devices.place;
  $("dot").style.left = `${left}%`;
  $("dot").style.top = `${top}%`;
  $("valence").firstElementChild.style.left = `${50 + 50 * devices.value.valence}%`;
  $("arousal").firstElementChild.style.top = `${50 - 50 * devices.value.arousal}%`;
  player.draw();
  drawTrace($("trace"), recorder.ratings, recorder.dimensions, time, recorder.rate);
  if (now - timelineDrawn > TIMELINE_MS) {
    timelineDrawn = now;
    drawTimeline($("timeline").firstElementChild, recorder.ratings, recorder.moments, time, recorder.rate);
  }
  setup.drawBoxes($("boxes"), video, practising ? [] : [face], time, face);
  const text = `${clock(time)} / ${clock(player.duration)}`;
  if ($("time").textContent !== text) {
    $("time").textContent = text;
    $("timeline").setAttribute("aria-valuetext", text);
    $("timeline").setAttribute("aria-valuemax", Math.round(player.duration));
    $("timeline").setAttribute("aria-valuenow", Math.round(time));
  }
}

const ACTIONS = { play: toggle, back, watch, next: nextUnrated, leave, finish };
for (const [id, act] of Object.entries(ACTIONS)) {
  $(id).addEventListener("click", () => {
    act();
    if (document.body.dataset.screen === "rating") $("pad").focus({ preventScroll: true });
  });
}
$("begin").addEventListener("click", () => begin(false));
$("practise").addEventListener("click", () => begin(true));
$("timeline").addEventListener("pointerdown", (event) => {
  const box = $("timeline").getBoundingClientRect();
  seek(((event.clientX - box.left - 4) / (box.width - 8)) * player.duration);
});

const KEYS = {
  " ": toggle,
  Backspace: back,
  w: watch,
  n: nextUnrated,
  Escape: leave,
  Home: () => seek(0),
  End: () => seek(player.duration),
  PageUp: () => seek(player.time - 1),
  PageDown: () => seek(player.time + 1),
  0: () => devices.set(0, 0, "keyboard"),
};
addEventListener("keydown", (event) => {
  if (document.body.dataset.screen !== "rating" || event.ctrlKey || event.altKey || event.metaKey) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault(); // Space would press the button that has the focus as well
  if (!event.repeat || event.key.startsWith("Page")) act();
});
document.addEventListener("visibilitychange", () => document.hidden && pause());
addEventListener("pagehide", () => (pause(), send()));
video.addEventListener("error", () => problem(`The recording cannot be played: ${video.error?.message || "the connection was lost"}. Use another browser, or reload this page.`));
setInterval(send, SEND_MS);
requestAnimationFrame(frame);
