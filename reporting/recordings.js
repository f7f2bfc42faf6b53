"use strict";

const $ = (id) => document.getElementById(id);
const { recordings, labels, thresholds, rule } = JSON.parse($("data").textContent);
const audio = $("audio"), strip = $("strip"), inner = $("inner");
const shifts = new Map();  // of thresholds, in log-odds, by label; -1: of all
let one, frame, zoom = 1;

for (const each of recordings) for (const part of ["scores", "levels"]) {
  const text = atob(each[part]), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  each[part] = new Float32Array(bytes.buffer);
}

function threshold(label) {
  const shift = (shifts.get(-1) ?? 0) + (shifts.get(label) ?? 0);
  const odds = 1 / Math.min(Math.max(thresholds[label], 1e-3), 0.999) - 1;
  return Math.fround(shift ? 1 / (1 + odds * Math.exp(-shift)) : thresholds[label]);
}

// as tagging.events.find_events
function find({ scores, levels, seconds }) {
  const parts = rule.parts, n = levels.length / parts, found = [];
  for (let label = 0; label < labels.length; label++) {
    const column = scores.subarray(label * n, (label + 1) * n), least = threshold(label);
    for (let row = 0; row < n; row++) {
      const first = row;
      let score = 0, top = 0;
      for (; row < n && column[row] >= Math.fround(rule.goes_on * least); row++) score = Math.max(score, column[row]);
      if (row === first || score < least) continue;
      const start = first * parts, stop = row * parts;
      for (let i = start; i < stop; i++) top = Math.max(top, levels[i]);
      const quiet = Math.fround(Math.max(rule.quiet * top, rule.silent)), loud = (i) => levels[i] >= quiet;
      let begin = start, end = stop;
      while (begin < stop && !loud(begin)) begin++;
      if (begin === stop) continue;
      while (!loud(end - 1)) end--;
      if (begin === start) while (begin > start - rule.reach && loud(begin - 1)) begin--;
      if (end === stop) while (end < stop + rule.reach && loud(end)) end++;
      found.push({ onset: begin / rule.parts, offset: Math.min(end / rule.parts, seconds), label, score });
    }
  }
  return found.sort((a, b) => a.onset - b.onset || a.offset - b.offset || a.label - b.label);
}

const make = (tag, content = "", kind = "") =>
  Object.assign(document.createElement(tag), { textContent: content, className: kind });
const percent = (second) => `${100 * second / one.seconds}%`;

function clock(second, digits) {
  const whole = Math.floor(second / 60), rest = (second % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return whole < 60 ? `${whole}:${rest}` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}:${rest}`;
}

// each column of pixels is as high as the highest of its values, of which a second has `rate`
function plot(canvas, values, rate, top, centred) {
  const width = canvas.width = Math.min(Math.round(inner.clientWidth * devicePixelRatio), 8192);
  const height = canvas.height = Math.round(canvas.clientHeight * devicePixelRatio), pen = canvas.getContext("2d");
  const scale = one.seconds * rate / width;
  pen.fillStyle = getComputedStyle(canvas).color;
  for (let x = 0; x < width; x++) {
    let high = 0;
    for (let i = Math.floor(x * scale); i < (x + 1) * scale; i++) high = Math.max(high, values[i] ?? 0);
    const tall = high / top * height;
    pen.fillRect(x, (height - tall) / (centred ? 2 : 1), 1, tall);
  }
}

function lane(label) {
  const row = make("div", "", "lane"), canvas = make("canvas"), n = one.scores.length / labels.length;
  row.append(make("span", labels[label]), canvas);
  $("lanes").append(row);
  plot(canvas, one.scores.subarray(label * n, (label + 1) * n), 1, 1, false);
  const pen = canvas.getContext("2d"), scale = canvas.width / one.seconds;
  Object.assign(pen, { fillStyle: getComputedStyle(row).color, globalAlpha: 0.6 });
  for (const { onset, offset, label: own } of one.events) {
    if (own === label) pen.fillRect(onset * scale, 0, Math.max((offset - onset) * scale, 2), canvas.height);
  }
}

function draw() {
  inner.style.width = `${100 * zoom}%`;
  plot($("wave"), one.levels, rule.parts, one.levels.reduce((a, b) => Math.max(a, b), 1e-9), true);
  $("lanes").replaceChildren();
  new Set(one.events.map((event) => event.label)).forEach(lane);
  const least = 64 * one.seconds / inner.clientWidth, steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((each) => each >= least) ?? 7200;
  $("axis").replaceChildren();
  for (let at = 0; at < one.seconds; at += step) $("axis").appendChild(make("span", clock(at, 0))).style.left = percent(at);
  follow();
}

function follow() {
  $("cursor").style.left = percent(Math.min(audio.currentTime, one.seconds));
  $("time").textContent = `${clock(audio.currentTime, 1)} of ${clock(one.seconds, 1)}`;
  $("play").textContent = audio.paused ? "Play" : "Stop";
  const at = audio.currentTime / one.seconds * inner.clientWidth - strip.scrollLeft;
  if (at < 0 || at > strip.clientWidth) strip.scrollLeft += at - strip.clientWidth / 8;
  cancelAnimationFrame(frame);
  if (!audio.paused) frame = requestAnimationFrame(follow);
}

function report() {
  for (const [i, each] of recordings.entries()) {
    each.events = find(each);
    $("which").options[i].textContent = `${each.name} (${each.events.length})`;
  }
  const all = recordings.reduce((sum, each) => sum + each.events.length, 0), most = 1000;
  const more = one.events.length > most ? "; the table below has the first thousand, what is saved has all" : "";
  $("count").textContent = `${one.events.length} events here, ${all} in all${more}`;
  $("rows").replaceChildren(...one.events.slice(0, most).map((event) => {
    const row = make("tr"), jump = make("button", clock(event.onset, 2));
    jump.addEventListener("click", () => play(event.onset));
    row.appendChild(make("td")).append(jump);
    row.append(make("td", clock(event.offset, 2)), make("td", labels[event.label]), make("td", event.score.toFixed(2), "n"));
    return row;
  }));
  const of = Number($("of").value), now = of < 0 ? labels.map((_, i) => threshold(i)) : [threshold(of)];
  const ends = new Set([Math.min(...now), Math.max(...now)].map((value) => value.toFixed(2)));
  $("least").textContent = [...ends].join(" to ") + ($("shift").value === "0" ? ", as given" : "");
  draw();
}

function show(i) {
  [one, zoom] = [recordings[i], 1];
  [audio.src, $("picture").src] = [one.sound, one.picture];
  report();
}

function play(second) {
  audio.currentTime = second;
  audio.play().catch(() => {});  // the event "error" says why
}

function go(second) {
  audio.currentTime = Math.min(Math.max(second, 0), one.seconds);
  follow();
}

function jump(sign) {
  const now = audio.currentTime - (sign < 0 && !audio.paused ? 0.5 : 0), onsets = one.events.map(({ onset }) => onset);
  go(sign > 0 ? onsets.find((at) => at > now + 0.01) ?? now : onsets.findLast((at) => at < now - 0.01) ?? 0);
}

function magnify(factor) {
  zoom = Math.min(Math.max(zoom * factor, 1), Math.max(one.seconds * 100 / strip.clientWidth, 1));
  draw();
  strip.scrollLeft = audio.currentTime / one.seconds * inner.clientWidth - strip.clientWidth / 2;
}

// as tagging.events.write_events
function save(name, rows) {
  const cell = (text) => /[\t\r\n"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const file = new Blob(rows.map((row) => `${row.map(cell).join("\t")}\n`));
  Object.assign(make("a"), { href: URL.createObjectURL(file), download: name }).click();
}

const spans = (each, how) => each.events.map((e) => how([e.onset.toFixed(3), e.offset.toFixed(3)], labels[e.label], e.score));
const keys = {
  " ": () => audio.paused ? play(audio.currentTime) : audio.pause(),
  ArrowLeft: () => go(audio.currentTime - 1), ArrowRight: () => go(audio.currentTime + 1),
  n: () => jump(1), p: () => jump(-1),
};
const clicks = {
  play: keys[" "], next: keys.n, previous: keys.p, in: () => magnify(2), out: () => magnify(1 / 2),
  inner: ({ clientX }) => play((clientX - inner.getBoundingClientRect().left) / inner.clientWidth * one.seconds),
  table: () => save("events.tsv", [["filename", "onset", "offset", "event_label"], ...recordings.flatMap((each) =>
    spans(each, (ends, label) => [each.name, ...ends, label]))]),
  track: () => save(`${one.name.split("/").pop()}.txt`, spans(one, (ends, label, score) =>
    [...ends, `${label} ${score.toFixed(2)}`])),
};
for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
document.addEventListener("keydown", (event) => {
  const own = event.target.matches("select, input") || (event.key === " " && event.target.matches("button, a"));
  if (own || event.altKey || event.ctrlKey || event.metaKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});
for (const name of ["play", "pause", "seeked"]) audio.addEventListener(name, follow);
audio.addEventListener("error", () => { $("said").textContent = `This browser cannot play ${one.name} from its place.`; });
$("which").addEventListener("change", () => show($("which").value));
$("of").addEventListener("change", () => { $("shift").value = shifts.get(Number($("of").value)) ?? 0; report(); });
$("shift").addEventListener("input", () => { shifts.set(Number($("of").value), Number($("shift").value)); report(); });

$("which").append(...recordings.map((_, i) => new Option("", i)));
$("of").append(new Option("all labels", -1), ...labels.map((label, i) => new Option(label, i)));
if (recordings.length) {
  show(0);
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
