"use strict";
// The list of photos: rows of one line each, loaded at once, and pictures, loaded as they are looked
// at. Scripts are the only files that a page opened from a disk may load.
const PER_PAGE = 48;
const KEPT = 2 * PER_PAGE; // photos whose pictures are kept

const facts = JSON.parse(document.getElementById("facts").textContent);
const element = (id) => document.getElementById(id);
const shownMasks = facts.other ? [facts.label, facts.other] : [facts.label]; // of a card
const form = element("filter");
const rows = []; // all photos of the list, the highest score or the least alike first
let view = []; // those that pass the filter, in order
let first = 0; // place in the view of the first card
let k = 0; // photos above the cut

// ---- files beside the page

function load(src) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = src;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${src} is not there`));
    document.head.append(script);
    script.remove();
  });
}

function addRows(more) { // called by rows-N.js, with JSON
  for (const [id, score, error, area, rank, iou, status, alike] of JSON.parse(more)) {
    rows.push({ id, score, error, area, rank, iou, status, alike, place: rows.length });
  }
}

const arrived = new Map();

function addPictures(place, pictures) { // called by photos/N.js, with JSON
  arrived.set(place, JSON.parse(pictures));
}

const known = new Map(); // place -> promise of pictures, the least recently used first

function picturesOf({ place }) {
  const pictures = known.get(place) ?? load(`photos/${place}.js`).then(() => {
    const found = arrived.get(place);
    arrived.delete(place);
    return found;
  });
  known.delete(place);
  known.set(place, pictures);
  if (known.size > KEPT) known.delete(known.keys().next().value);
  return pictures;
}

// ---- the list

function describe(row) {
  const percent = (share) => `${Math.round(100 * share)} %`;
  return [
    ...(row.alike === undefined ? [] : [`alike ${percent(row.alike)}`]),
    row.rank === null ? "not selected" : `rank ${row.rank.toLocaleString("en")}`,
    row.status === "ok" ? `score ${row.score.toFixed(3)}` : `${row.status} mask`,
    `error ${row.error.toFixed(3)}`,
    `area ${percent(row.area)}`,
    ...(row.iou === null ? [] : [`IoU ${percent(row.iou)}`]),
  ].join(" · ");
}

function make(tag, kind, text) {
  const made = document.createElement(tag);
  made.className = kind;
  made.textContent = text; // never HTML: names are whatever the collection holds
  return made;
}

function card(row) {
  const item = make("li", "card", "");
  const button = make("button", "", "");
  const thumb = make("span", "thumb", "");
  const frames = shownMasks.map(() => make("span", "picture", ""));
  const area = make("span", "bar", "");
  item.classList.toggle("above", row.status === "ok" && row.place < k);
  item.classList.toggle("pair", frames.length > 1);
  button.type = "button";
  area.style.width = `${100 * row.area}%`;
  thumb.append(...frames);
  button.append(thumb, area, make("span", "name", row.id), describe(row));
  button.onclick = () => openViewer(view.indexOf(row));
  item.append(button);
  showMark(item, row);
  picturesOf(row).then((pictures) => {
    const [width, height] = pictures.size;
    const scale = 150 / Math.max(width, height);
    frames.forEach((frame, number) => {
      frame.style.cssText = `width: ${scale * width}px; height: ${scale * height}px`;
      draw(frame, pictures, shownMasks[number], false);
    });
  }, (error) => { frames[0].textContent = error.message; });
  return item;
}

function render() {
  first = Math.max(0, Math.min(first, view.length - 1));
  const shown = view.slice(first, first + PER_PAGE);
  for (const canvas of element("cards").querySelectorAll("canvas")) canvas.width = 0; // frees it now
  element("cards").replaceChildren(...shown.map(card));
  const count = view.length.toLocaleString("en");
  element("shown").textContent = shown.length
    ? `${(first + 1).toLocaleString("en")} to ${(first + shown.length).toLocaleString("en")} of ${count}`
    : "No photo passes the filter.";
  element("all-bad").textContent = `Mark all ${count} as bad`;
  element("back").disabled = first === 0;
  element("forward").disabled = first + PER_PAGE >= view.length;
}

function turn(places) {
  first += places;
  render();
}

const TESTS = {
  selected: (row) => row.rank !== null,
  "not selected": (row) => row.rank === null,
  unmarked: (row) => !marks.has(row.id),
  good: (row) => marks.get(row.id) === "good",
  bad: (row) => marks.get(row.id) === "bad",
  "empty or full": (row) => row.status !== "ok",
};
const ORDERS = {
  list: (a, b) => a.place - b.place,
  largest: (a, b) => b.area - a.area || a.place - b.place,
  smallest: (a, b) => a.area - b.area || a.place - b.place,
};

function filter() {
  const value = (name, otherwise) =>
    form.elements[name]?.value ? form.elements[name].valueAsNumber / 100 : otherwise;
  const name = form.elements.name.value.trim().toLowerCase();
  const [least, most, iou] = [value("least", 0), value("most", 1), value("iou", null)];
  const test = TESTS[form.elements.which.value] ?? (() => true);
  view = rows.filter((row) => row.area >= least && row.area <= most
    && (iou === null || (row.iou !== null && row.iou <= iou))
    && test(row) && row.id.toLowerCase().includes(name));
  view.sort(ORDERS[form.elements.order.value]);
  first = 0;
  render();
}

function cardKeys(event) {
  const cards = [...element("cards").children];
  const place = cards.indexOf(event.target.closest("li"));
  const go = (to) => {
    if (to === cards.length && first + to < view.length) turn(to);
    element("cards").children[to % cards.length]?.firstElementChild.focus();
  };
  press({
    g: () => { setMarks([view[first + place]], "good"); go(place + 1); },
    b: () => { setMarks([view[first + place]], "bad"); go(place + 1); },
    u: undo,
    ArrowLeft: () => go(Math.max(0, place - 1)),
    ArrowRight: () => go(place + 1),
  }, event);
}

function press(keys, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
}

// ---- the beginning

function listen() {
  const click = (id, action) => { element(id).onclick = action; };
  form.oninput = filter;
  form.onreset = () => setTimeout(filter);
  form.onsubmit = (event) => event.preventDefault();
  click("undo", undo);
  click("all-bad", () => setMarks(view, "bad"));
  click("forget", () => setMarks([...marks.keys()].map((id) => ({ id })), undefined));
  click("save-good", () => save("good"));
  click("save-bad", () => save("bad"));
  click("back", () => turn(-PER_PAGE));
  click("forward", () => turn(PER_PAGE));
  click("viewer-good", () => setMarks([view[current]], "good"));
  click("viewer-bad", () => setMarks([view[current]], "bad"));
  click("viewer-undo", undo);
  click("viewer-back", () => step(-1));
  click("viewer-forward", () => step(1));
  click("viewer-close", () => element("viewer").close());
  element("viewer-masks").onchange = () => showPhoto();
  element("own-size").onchange = () => showPhoto();
  element("viewer").onkeydown = viewerKeys;
  element("viewer").onclose = closed;
  element("cards").onkeydown = cardKeys;
}

async function start() {
  for (let number = 0; number < facts.rowFiles; number++) await load(`rows-${number}.js`);
  element("list").hidden = false;
  if (element("cut")) startCut();
  listen();
  showMarks();
  filter();
}

addEventListener("DOMContentLoaded", start); // when the rest of the script is read
