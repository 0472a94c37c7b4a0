// The explorer's page. Everything is asked of the program that served it, by relative addresses.
"use strict";

const $ = (id) => document.getElementById(id);
const canvas = $("map"), stage = $("stage"), pen = canvas.getContext("2d");
const KINDS = 10; // colours; the commonest labels have them, others share a grey
const OTHER = KINDS, FAINT = KINDS + 1, RAMP = KINDS + 2, STEPS = 16; // places in the palette
const TILE = 46; // pixels of the smallest picture on the map
const CROWD = 2500; // samples in sight beyond which the map shows dots alone
const KEPT = 1500, ASKED = 6; // pictures held, and asked for at once

let count = 0, names = [], lowered = [], classes = [], shared = {};
let points, oddity, clusters, labels, pictured; // typed arrays over samples
let shade = new Uint8Array(0), inside = new Uint8Array(0), picked = new Uint8Array(0);
let pickedCount = 0, matches = 0, chosen = -1, near = [], lit = -1, cluster = -1;
let byCommon = [], kindOf = []; // classes, the commonest first, and the colour of each class
let palette = new Uint32Array(RAMP + STEPS), css = [];
let view = { x: 0, y: 0, scale: 1 }, least = 1; // middle, pixels to a unit, and those when all is shown
let ratio = 1, wide = 0, high = 0, drawing = null, waiting = false;

// ---- asking ---------------------------------------------------------------------------------

async function ask(what, options) {
  let answer;
  try { answer = await fetch(what, options); }
  catch { throw new Error("The explorer has ended: start it again in its terminal, and open the new address."); }
  if (!answer.ok) throw new Error((await answer.text()) || "That did not work.");
  return answer;
}
const post = (what, rows) => ask(what, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ rows }),
});
function say(text) { $("said").textContent = text; }

async function start() {
  try {
    const [about, held] = await Promise.all([
      ask("about").then((answer) => answer.json()), ask("points").then((answer) => answer.arrayBuffer()),
    ]);
    begin(about, held);
  } catch (error) { $("state").textContent = error.message; }
}

function begin(about, held) {
  shared = about;
  ({ count, names, classes } = about);
  points = new Float32Array(held, 0, 2 * count);
  oddity = new Float32Array(held, 8 * count, count);
  clusters = new Int32Array(held, 12 * count, count);
  labels = new Int32Array(held, 16 * count, count);
  pictured = new Uint8Array(held, 20 * count, count);
  lowered = names.map((name) => name.toLowerCase());
  shade = new Uint8Array(count); inside = new Uint8Array(count).fill(1); picked = new Uint8Array(count);
  matches = count;
  document.title = `${about.name} – ownlatent explore`;
  $("title").textContent = about.name;
  $("facts").textContent = `${count.toLocaleString("en")} samples, ${about.dim} dimensions, encoder ${about.encoder}`;
  $("note").textContent = about.note; $("note").hidden = !about.note;
  const sizes = new Map();
  for (const label of labels) sizes.set(label, (sizes.get(label) || 0) + 1);
  byCommon = classes.map((_, number) => number).sort((a, b) => sizes.get(b) - sizes.get(a) || a - b);
  kindOf = new Array(classes.length).fill(OTHER);
  byCommon.slice(0, KINDS).sort((a, b) => a - b).forEach((label, kind) => { kindOf[label] = kind; });
  const choices = [["", "all"], ...classes.map((name, number) => [String(number), name])];
  if (classes.length && sizes.has(-1)) choices.push(["-1", "(none)"]);
  $("class").replaceChildren(...choices.map(([value, name]) => new Option(name, value)));
  $("classes").hidden = !classes.length;
  const first = classes.length ? "label" : "cluster";
  document.querySelector('input[value="label"]').disabled = !classes.length;
  document.querySelector(`input[value="${first}"]`).checked = true;
  $("pictured").hidden = !pictured.includes(1);
  $("state").hidden = true; $("state").classList.add("part");
  colours(); paint(); measure(); fit();
}

// ---- colours and the filter -----------------------------------------------------------------

const colouring = () => document.querySelector('input[name="colour"]:checked').value;

function rgb(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const full = hex.length === 4 ? [...hex.slice(1)].map((digit) => digit + digit).join("") : hex.slice(1);
  return [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16));
}
function colours() {
  const paper = rgb("--paper"), stops = [rgb("--base"), rgb("--doubt"), rgb("--other")];
  const mixed = (a, b, share) => a.map((value, at) => Math.round(value + (b[at] - value) * share));
  const all = [];
  for (let kind = 0; kind < KINDS; kind++) all.push(rgb(`--k${kind}`));
  all.push(rgb("--base"), mixed(paper, rgb("--base"), 0.28));
  for (let step = 0; step < STEPS; step++) {
    const at = 2 * step / (STEPS - 1), low = Math.min(1, Math.floor(at));
    all.push(mixed(stops[low], stops[low + 1], at - low));
  }
  palette = Uint32Array.from(all, ([r, g, b]) => (0xff << 24 | b << 16 | g << 8 | r) >>> 0);
  css = all.map((value) => `rgb(${value.join(" ")})`);
}
let low = 0, top_ = 1; // scores between which the ramp runs
function paint() {
  const by = colouring();
  if (by === "oddity") {
    const sorted = Float32Array.from(oddity).sort();
    low = sorted[Math.floor(0.01 * (count - 1))]; top_ = sorted[Math.ceil(0.99 * (count - 1))];
  }
  const span = Math.max(top_ - low, 1e-9);
  for (let row = 0; row < count; row++) {
    shade[row] = by === "cluster" ? (clusters[row] < KINDS ? clusters[row] : OTHER)
      : by === "oddity" ? RAMP + Math.round(Math.min(1, Math.max(0, (oddity[row] - low) / span)) * (STEPS - 1))
      : labels[row] < 0 ? OTHER : kindOf[labels[row]];
  }
  legend(by); draw();
}
function legend(by) {
  const list = [];
  if (by === "oddity") {
    const item = document.createElement("li"), box = document.createElement("span"), ramp = document.createElement("i");
    box.className = "plain"; ramp.className = "ramp";
    ramp.style.background = `linear-gradient(90deg, ${css[RAMP]}, ${css[RAMP + STEPS / 2]}, ${css[RAMP + STEPS - 1]})`;
    box.append(low.toFixed(2), ramp, `${top_.toFixed(2)} mean distance to the 10 nearest`);
    item.append(box); list.push(item);
  } else if (by === "cluster") {
    const sizes = new Array(shared.clusters).fill(0);
    for (const each of clusters) sizes[each]++;
    sizes.slice(0, KINDS).forEach((size, kind) => list.push(entry(kind, `cluster ${kind + 1}`, size, cluster === kind,
      () => { cluster = cluster === kind ? -1 : kind; filter(); })));
  } else {
    const sizes = new Map();
    for (const label of labels) sizes.set(label, (sizes.get(label) || 0) + 1);
    byCommon.slice(0, KINDS).sort((a, b) => a - b).forEach((label) => {
      const on = $("class").value === String(label);
      list.push(entry(kindOf[label], classes[label], sizes.get(label), on,
        () => { $("class").value = on ? "" : String(label); filter(); }));
    });
    const rest = byCommon.slice(KINDS).reduce((sum, label) => sum + sizes.get(label), sizes.get(-1) || 0);
    if (rest) list.push(entry(OTHER, classes.length > KINDS ? "others" : "no label", rest));
  }
  $("legend").replaceChildren(...list);
}
function entry(kind, name, size, on, act) {
  const item = document.createElement("li"), box = document.createElement(act ? "button" : "span");
  const dot = document.createElement("i"), many = document.createElement("small");
  dot.style.background = css[kind]; many.textContent = size.toLocaleString("en");
  box.append(dot, name, many);
  if (act) { box.type = "button"; box.setAttribute("aria-pressed", String(on)); box.addEventListener("click", act); }
  else box.className = "plain";
  item.append(box);
  return item;
}
function filter() {
  const text = $("text").value.trim().toLowerCase(), label = $("class").value;
  matches = 0;
  for (let row = 0; row < count; row++) {
    const fits = (!text || lowered[row].includes(text)) && (label === "" || labels[row] === Number(label))
      && (cluster < 0 || clusters[row] === cluster);
    inside[row] = fits ? 1 : 0; matches += inside[row];
  }
  $("state").hidden = matches > 0;
  if (!matches) $("state").textContent = "No sample matches: change the path or the label.";
  spots.clear(); legend(colouring()); selected();
  say(`${matches.toLocaleString("en")} of ${count.toLocaleString("en")} samples match`);
  draw();
}

// ---- the map --------------------------------------------------------------------------------

const px = (row) => (points[2 * row] - view.x) * view.scale + wide / 2;
const py = (row) => high / 2 - (points[2 * row + 1] - view.y) * view.scale;

function measure() {
  const box = stage.getBoundingClientRect();
  const middle = wide ? view : null;
  wide = Math.max(1, Math.round(box.width)); high = Math.max(1, Math.round(box.height));
  ratio = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = Math.round(wide * ratio); canvas.height = Math.round(high * ratio);
  if (middle) draw();
}
function fit() {
  let left = Infinity, right = -Infinity, bottom = Infinity, up = -Infinity;
  for (let row = 0; row < count; row++) {
    const x = points[2 * row], y = points[2 * row + 1];
    if (x < left) left = x; if (x > right) right = x; if (y < bottom) bottom = y; if (y > up) up = y;
  }
  const above = 62, below = document.querySelector(".legend-box").offsetHeight + 26; // what lies over it
  const room = [Math.max(wide - 1.6 * TILE, 80), Math.max(high - above - below, 80)];
  least = Math.min(room[0] / Math.max(right - left, 1e-6), room[1] / Math.max(up - bottom, 1e-6));
  if (!isFinite(least) || least > 1e5) least = 200;
  view = { x: (left + right) / 2, y: (bottom + up) / 2 + (above - below) / 2 / least, scale: least };
  spots.clear(); draw();
}
function zoom(by, x = wide / 2, y = high / 2) {
  const scale = Math.min(Math.max(view.scale * by, least * 0.4), least * 4000);
  view.x += (x - wide / 2) * (1 / view.scale - 1 / scale);
  view.y -= (y - high / 2) * (1 / view.scale - 1 / scale);
  view.scale = scale; draw();
}
function move(x, y) { view.x -= x / view.scale; view.y += y / view.scale; draw(); }
function draw() {
  if (waiting || !count) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; render(); });
}

// How much of each pixel a disc covers: [dx, dy, 0..255] in threes.
const discs = new Map();
function disc(radius) {
  const key = Math.round(radius * 4);
  if (discs.has(key)) return discs.get(key);
  const cover = [], reach = Math.ceil(radius);
  for (let y = -reach; y <= reach; y++) for (let x = -reach; x <= reach; x++) {
    const part = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
    if (part > 0.03) cover.push(x, y, Math.round(part * 255));
  }
  discs.set(key, Int16Array.from(cover));
  return discs.get(key);
}
let image = null, pixels = null;
function render() {
  const w = canvas.width, h = canvas.height;
  if (!image || image.width !== w || image.height !== h) {
    image = new ImageData(w, h); pixels = new Uint32Array(image.data.buffer);
  }
  const [pr, pg, pb] = rgb("--paper");
  pixels.fill((0xff << 24 | pb << 16 | pg << 8 | pr) >>> 0);
  const zoomed = view.scale / least;
  const size = (count > 20000 ? 1.5 : count > 1500 ? 2.2 : 3.2) * Math.min(2, Math.max(0.8, Math.sqrt(zoomed)));
  const dot = disc(size * ratio), margin = 2 + size * ratio;
  let sight = 0;
  for (const wanted of [0, 1]) for (let row = 0; row < count; row++) {
    if (inside[row] !== wanted) continue;
    const x = Math.round(px(row) * ratio), y = Math.round(py(row) * ratio);
    if (x < -margin || y < -margin || x > w + margin || y > h + margin) continue;
    sight += wanted;
    splat(dot, x, y, w, h, palette[wanted ? shade[row] : FAINT]);
  }
  pen.setTransform(1, 0, 0, 1, 0, 0); pen.putImageData(image, 0, 0); pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  tiles = [];
  if ($("pictures").checked && sight <= CROWD && pictured.includes(1)) lay();
  marks(size, false);
  for (const [row, x, y, half] of tiles) {
    rounded(x - half, y - half, 2 * half, 5);
    pen.fillStyle = css[shade[row]]; pen.fill();
    square(pictures.get(row), x, y, 2 * half - 4);
  }
  marks(size, true); shape();
}
function splat(dot, x, y, w, h, colour) {
  const r = colour & 255, g = colour >>> 8 & 255, b = colour >>> 16 & 255;
  for (let at = 0; at < dot.length; at += 3) {
    const column = x + dot[at], line = y + dot[at + 1];
    if (column < 0 || line < 0 || column >= w || line >= h) continue;
    const place = line * w + column, part = dot[at + 2];
    if (part >= 250) { pixels[place] = colour; continue; }
    const under = pixels[place], u = under & 255, v = under >>> 8 & 255, t = under >>> 16 & 255;
    pixels[place] = (0xff << 24 | (t + ((b - t) * part >> 8)) << 16 | (v + ((g - v) * part >> 8)) << 8 | (u + ((r - u) * part >> 8))) >>> 0;
  }
}

// Samples whose pictures are shown at a scale: one to a neighbourhood, those of small rows first,
// so that they stay the same while the map is moved.
const spots = new Map();
function places(scale) {
  if (spots.has(scale)) return spots.get(scale);
  const taken = new Map(), kept = [], cell = TILE / scale;
  for (let row = 0; row < count; row++) {
    if (!inside[row] || !pictured[row]) continue;
    const x = points[2 * row], y = points[2 * row + 1], column = Math.floor(x / cell), line = Math.floor(y / cell);
    let free = true;
    for (let dx = -1; dx <= 1 && free; dx++) for (let dy = -1; dy <= 1 && free; dy++) {
      const other = taken.get((column + dx) * 4194304 + line + dy);
      if (other !== undefined && Math.abs(points[2 * other] - x) < cell && Math.abs(points[2 * other + 1] - y) < cell) free = false;
    }
    if (free) { taken.set(column * 4194304 + line, row); kept.push(row); }
  }
  spots.set(scale, kept);
  if (spots.size > 4) spots.delete(spots.keys().next().value);
  return kept;
}
let tiles = []; // [row, x, y, half a side]
function lay() {
  const level = least * 2 ** Math.floor(Math.log2(view.scale / least));
  const side = TILE * view.scale / level - 4;
  const wanted = [];
  for (const row of places(level)) {
    const x = px(row), y = py(row);
    if (x < -side || y < -side || x > wide + side || y > high + side) continue;
    if (thumbnail(row, wanted)) tiles.push([row, x, y, side / 2]);
  }
  asked = wanted; next();
}
function rounded(x, y, side, radius) { pen.beginPath(); pen.roundRect(x, y, side, side, radius); }
function square(picture, x, y, side) { // its middle
  const part = Math.min(picture.naturalWidth, picture.naturalHeight);
  pen.imageSmoothingEnabled = part > 64; // pixels of small images stay pixels
  pen.drawImage(picture, (picture.naturalWidth - part) / 2, (picture.naturalHeight - part) / 2, part, part, x - side / 2, y - side / 2, side, side);
}
const pictures = new Map(), broken = new Set();
let asked = [], running = 0;
function thumbnail(row, wanted) {
  const held = pictures.get(row);
  if (held) { pictures.delete(row); pictures.set(row, held); return held; }
  if (!broken.has(row)) wanted.push(row);
  return null;
}
function next() {
  while (running < ASKED && asked.length) {
    const row = asked.shift();
    if (pictures.has(row) || broken.has(row)) continue;
    const picture = new Image();
    running++;
    const done = (good) => {
      running--;
      if (good) { pictures.set(row, picture); if (pictures.size > KEPT) pictures.delete(pictures.keys().next().value); }
      else broken.add(row);
      draw(); next();
    };
    picture.onload = () => done(true); picture.onerror = () => done(false);
    picture.src = `thumbnail/${row}`;
  }
}
function ring(row, radius, width, colour) {
  const shown = tiles.find((one) => one[0] === row), x = px(row), y = py(row);
  pen.lineWidth = width; pen.strokeStyle = colour;
  if (shown) rounded(x - shown[3] - 1, y - shown[3] - 1, 2 * shown[3] + 2, 6);
  else { pen.beginPath(); pen.arc(x, y, radius, 0, 7); }
  pen.stroke();
}
function marks(size, over) { // those of pictures lie over them, those of dots under
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), paper = style.getPropertyValue("--paper"), accent = style.getPropertyValue("--accent");
  const shown = new Map(tiles.map((one) => [one[0], one]));
  pen.strokeStyle = ink; pen.lineWidth = over ? 3 : 1.6;
  for (let row = 0; pickedCount && row < count; row++) {
    const one = shown.get(row);
    if (!picked[row] || Boolean(one) !== over) continue;
    const x = px(row), y = py(row);
    if (x < -40 || y < -40 || x > wide + 40 || y > high + 40) continue;
    if (one) rounded(x - one[3], y - one[3], 2 * one[3], 5);
    else { pen.beginPath(); pen.arc(x, y, size + 1.8, 0, 7); }
    pen.stroke();
  }
  if (chosen >= 0 && !over) {
    pen.globalAlpha = 0.45; pen.lineWidth = 1; pen.strokeStyle = accent;
    pen.beginPath();
    for (const row of near) { pen.moveTo(px(chosen), py(chosen)); pen.lineTo(px(row), py(row)); }
    pen.stroke(); pen.globalAlpha = 1;
  }
  for (const row of near) if (shown.has(row) === over) ring(row, size + 2.5, over ? 2.5 : 1.5, accent);
  if (!over) return;
  if (chosen >= 0) { ring(chosen, size + 6, 5, paper); ring(chosen, size + 6, 2.5, accent); }
  if (lit >= 0) { ring(lit, size + 5, 5, paper); ring(lit, size + 5, 2.5, ink); }
}
function shape() {
  if (!drawing || drawing.path.length < 2) return;
  const style = getComputedStyle(document.documentElement);
  pen.beginPath();
  outline().forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
  pen.fillStyle = style.getPropertyValue("--tint"); pen.fill();
  pen.lineWidth = 1.5; pen.setLineDash([5, 4]); pen.strokeStyle = style.getPropertyValue("--accent"); pen.stroke(); pen.setLineDash([]);
}
function outline() {
  if (drawing.tool === "lasso") return drawing.path;
  const [[x, y]] = drawing.path, [u, v] = drawing.path[drawing.path.length - 1];
  return [[x, y], [u, y], [u, v], [x, v]];
}

// ---- choosing and selecting -----------------------------------------------------------------

function under(x, y, reach) {
  for (let at = tiles.length - 1; at >= 0; at--) {
    const [row, u, v, half] = tiles[at];
    if (Math.abs(u - x) <= half && Math.abs(v - y) <= half) return row;
  }
  let best = -1, nearest = reach * reach;
  for (let row = 0; row < count; row++) {
    if (!inside[row]) continue;
    const dx = px(row) - x, dy = py(row) - y, apart = dx * dx + dy * dy;
    if (apart <= nearest) { nearest = apart; best = row; }
  }
  return best;
}
function within(corners) {
  const rows = [];
  for (let row = 0; row < count; row++) {
    if (!inside[row]) continue;
    const x = px(row), y = py(row);
    let odd = false;
    for (let at = 0, last = corners.length - 1; at < corners.length; last = at++) {
      const [u, v] = corners[at], [s, t] = corners[last];
      if ((v > y) !== (t > y) && x < (s - u) * (y - v) / (t - v) + u) odd = !odd;
    }
    if (odd) rows.push(row);
  }
  return rows;
}
function select(rows, keep) {
  if (!keep) picked.fill(0);
  for (const row of rows) picked[row] = 1;
  selected();
}
function toggle(row) { picked[row] = picked[row] ? 0 : 1; selected(); }
const rowsPicked = () => [...picked.keys()].filter((row) => picked[row]);
function selected() {
  pickedCount = picked.reduce((sum, one) => sum + one, 0);
  const text = pickedCount ? `${pickedCount.toLocaleString("en")} selected` : "Nothing selected";
  if ($("count").textContent !== text) { $("count").textContent = text; $("saved").textContent = ""; say(text); }
  $("how").hidden = pickedCount > 0;
  for (const id of ["download", "save", "clear"]) $(id).disabled = !pickedCount;
  const part = matches && matches < count;
  $("matching").hidden = !part; $("matching").textContent = `Select ${matches.toLocaleString("en")} matches`;
  $("pick").textContent = chosen >= 0 && picked[chosen] ? "Remove from selection" : "Add to selection";
  draw();
}
function missing(row) {
  const box = document.createElement("div");
  box.className = "gone"; box.textContent = pictured[row] ? "cannot be read" : names[row].split("/").pop();
  return box;
}
function show(row, what, alt) {
  if (!pictured[row]) return missing(row);
  const picture = new Image();
  picture.alt = alt; picture.onerror = () => picture.replaceWith(missing(row));
  picture.onload = () => { if (Math.max(picture.naturalWidth, picture.naturalHeight) <= 64) picture.className = "exact"; };
  picture.src = `${what}/${row}`;
  return picture;
}
const labelled = (row) => (labels[row] < 0 ? "" : classes[labels[row]]);
let latest = 0;
async function choose(row) {
  chosen = row; near = []; lit = -1; draw();
  const asking = ++latest;
  $("empty").hidden = true; $("chosen").hidden = false;
  $("frame").replaceChildren(show(row, "picture", names[row]));
  $("name").textContent = names[row];
  const known = [["label", labelled(row)], ["cluster", String(clusters[row] + 1)], ["outlier score", oddity[row].toFixed(3)]];
  $("known").replaceChildren(...known.filter(([, value]) => value).flatMap(([name, value]) => {
    const term = document.createElement("dt"), told = document.createElement("dd");
    term.textContent = name; told.textContent = value;
    return [term, told];
  }));
  selected();
  $("near-title").textContent = "Finding those nearest …"; $("near").replaceChildren();
  try {
    const found = await (await ask(`near/${row}`)).json();
    if (asking !== latest) return;
    near = found.rows;
    $("near-title").textContent = near.length ? "Nearest by cosine" : "There is no other sample.";
    $("near").replaceChildren(...near.map((other, rank) => neighbour(row, other, found.similarity[rank])));
    say(`${names[row]}: ${near.length} nearest listed`);
  } catch (error) { if (asking === latest) $("near-title").textContent = error.message; }
  draw();
}
function neighbour(row, other, similarity) {
  const item = document.createElement("li"), button = document.createElement("button"), box = document.createElement("div");
  const like = document.createElement("b"), name = document.createElement("small");
  box.className = "tile"; box.append(show(other, "thumbnail", ""));
  like.textContent = similarity.toFixed(3); name.textContent = labelled(other) || names[other].split("/").pop();
  if (labels[row] >= 0 && labels[other] >= 0) item.className = labels[row] === labels[other] ? "same" : "other";
  button.type = "button"; button.title = names[other]; button.dataset.row = other;
  button.setAttribute("aria-label", `${names[other]}, cosine ${similarity.toFixed(3)}${labelled(other) ? `, ${labelled(other)}` : ""}`);
  button.append(box, like, name);
  button.addEventListener("click", (event) => (event.shiftKey ? toggle(other) : choose(other).then(focusFirst)));
  for (const on of ["focus", "pointerenter"]) button.addEventListener(on, () => { lit = other; draw(); });
  for (const off of ["blur", "pointerleave"]) button.addEventListener(off, () => { lit = -1; draw(); });
  item.append(button);
  return item;
}
function focusFirst() { const first = $("near").querySelector("button"); if (first) first.focus({ preventScroll: true }); }
function unchoose() {
  latest++; chosen = -1; near = []; lit = -1;
  $("chosen").hidden = true; $("empty").hidden = false; draw();
}

async function list(act) {
  $("saved").textContent = "";
  try { await act(rowsPicked()); } catch (error) { $("saved").textContent = error.message; }
}
$("download").addEventListener("click", () => list(async (rows) => {
  const file = URL.createObjectURL(await (await post("export", rows)).blob()), link = document.createElement("a");
  link.href = file; link.download = `${shared.name.replace(/\.[^.]*$/, "")}.selected.csv`; link.click();
  setTimeout(() => URL.revokeObjectURL(file), 10000);
}));
$("save").addEventListener("click", () => list(async (rows) => {
  const { name } = await (await post("save", rows)).json();
  $("saved").textContent = `Written beside the store: ${name}`;
}));
$("clear").addEventListener("click", () => select([], false));
$("matching").addEventListener("click", () => select([...inside.keys()].filter((row) => inside[row]), false));
$("pick").addEventListener("click", () => toggle(chosen));
$("unchoose").addEventListener("click", () => { unchoose(); canvas.focus({ preventScroll: true }); });

// ---- pointer, wheel and keys ----------------------------------------------------------------

const tool = () => document.querySelector('input[name="tool"]:checked').value;
const held = new Map(); // pointers that are down: [x, y]
let from = null, moved = false, spread = 0;
function at(event) { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; }

canvas.addEventListener("pointerdown", (event) => {
  if (!count || event.button > 0) return;
  canvas.setPointerCapture(event.pointerId);
  held.set(event.pointerId, at(event)); $("card").hidden = true;
  if (held.size === 1) {
    from = at(event); moved = false;
    if (tool() !== "move") drawing = { tool: tool(), path: [from], keep: event.shiftKey };
  } else { drawing = null; moved = true; spread = apart(); draw(); }
});
function apart() { const [[x, y], [u, v]] = held.values(); return Math.hypot(x - u, y - v); }
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = at(event), before = held.get(event.pointerId);
  if (!before) { if (event.pointerType !== "touch") hover(x, y); return; }
  if (held.size === 2) {
    const [[a, b], [c, d]] = held.values(), middle = [(a + c) / 2, (b + d) / 2];
    held.set(event.pointerId, [x, y]);
    const [[e, f], [g, h]] = held.values(), now = apart();
    move((e + g) / 2 - middle[0], (f + h) / 2 - middle[1]);
    if (spread > 0 && now > 0) zoom(now / spread, (e + g) / 2, (f + h) / 2);
    spread = now;
    return;
  }
  if (!moved && Math.hypot(x - from[0], y - from[1]) < 4) return;
  moved = true;
  if (drawing) { drawing.path.push([x, y]); draw(); }
  else { canvas.classList.add("dragging"); move(x - before[0], y - before[1]); }
  held.set(event.pointerId, [x, y]);
});
function lift(event) {
  if (!held.delete(event.pointerId)) return;
  canvas.classList.remove("dragging");
  if (held.size) { from = [...held.values()][0]; return; }
  if (event.type === "pointercancel") { drawing = null; draw(); return; }
  if (moved) {
    if (drawing) { select(within(outline()), drawing.keep); drawing = null; draw(); }
    return;
  }
  drawing = null;
  const [x, y] = at(event), row = under(x, y, event.pointerType === "touch" ? 24 : 12);
  if (row < 0) return;
  if (event.shiftKey) toggle(row); else choose(row);
}
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);
canvas.addEventListener("pointerleave", () => { $("card").hidden = true; canvas.classList.remove("over"); });
canvas.addEventListener("wheel", (event) => {
  if (!count) return;
  event.preventDefault(); $("card").hidden = true;
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016) * (event.ctrlKey ? 4 : 1)), ...at(event));
}, { passive: false });
let hovered = -1;
function hover(x, y) {
  if (!count) return;
  const row = under(x, y, 9), card = $("card");
  canvas.classList.toggle("over", row >= 0);
  card.hidden = row < 0;
  if (row < 0) { hovered = -1; return; }
  if (row !== hovered) {
    hovered = row;
    const image = $("card-image");
    image.hidden = !pictured[row];
    if (pictured[row]) image.src = `thumbnail/${row}`;
    image.onload = () => image.classList.toggle("exact", Math.max(image.naturalWidth, image.naturalHeight) <= 64);
    image.onerror = () => { image.hidden = true; };
    $("card-name").textContent = names[row].split("/").pop();
    $("card-facts").textContent = [labelled(row), `outlier score ${oddity[row].toFixed(2)}`].filter(Boolean).join(", ");
  }
  const box = card.getBoundingClientRect();
  const left = x + 18 + box.width > wide ? x - 18 - box.width : x + 18;
  card.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, Math.min(y + 14, high - box.height - 6))}px)`;
}
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !count) return;
  const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  if (steps[event.key]) move(...steps[event.key]);
  else if (event.key === "+" || event.key === "=") zoom(1.4);
  else if (event.key === "-") zoom(1 / 1.4);
  else if (event.key === "0") fit();
  else if (event.key === "Enter") { const row = under(wide / 2, high / 2, Infinity); if (row >= 0) choose(row); }
  else if (event.key.toLowerCase() === "s" && chosen >= 0) toggle(chosen);
  else return;
  event.preventDefault();
});
$("near").addEventListener("keydown", (event) => {
  const buttons = [...$("near").querySelectorAll("button")], here = buttons.indexOf(document.activeElement);
  const columns = getComputedStyle($("near")).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (here < 0 || !step) return;
  event.preventDefault();
  const there = buttons[here + step];
  if (there) there.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (drawing) { drawing = null; held.clear(); draw(); }
  else if (document.activeElement === $("text") && $("text").value) { $("text").value = ""; filter(); }
  else if (chosen >= 0) { unchoose(); canvas.focus({ preventScroll: true }); }
  else if (pickedCount) select([], false);
  else return;
  event.preventDefault();
});
$("in").addEventListener("click", () => zoom(1.6));
$("out").addEventListener("click", () => zoom(1 / 1.6));
$("fit").addEventListener("click", fit);
$("pictures").addEventListener("change", draw);
$("tools").addEventListener("change", () => canvas.classList.toggle("drawing", tool() !== "move"));
$("colours").addEventListener("change", () => { if (colouring() !== "cluster" && cluster >= 0) { cluster = -1; filter(); } paint(); });
$("text").addEventListener("input", filter);
$("class").addEventListener("change", filter);
new ResizeObserver(() => { if (count) measure(); }).observe(stage);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours(); legend(colouring()); draw(); });

// Where a sample is on the page, and what is asked of it, for tests and the curious.
window.explorer = { place: (row) => { const box = canvas.getBoundingClientRect(); return [px(row) + box.left, py(row) + box.top]; },
  colour: (row) => css[inside[row] ? shade[row] : FAINT], picked: rowsPicked, shown: () => tiles.map((one) => one[0]), busy: () => running + asked.length };
start();
