// Marks of good and bad photos, kept in the browser and saved as lists for `topk`.

const KEY = `iem_batch ${facts.run}`;
const marks = new Map(JSON.parse(localStorage.getItem(KEY) ?? "[]")); // id -> good or bad
const past = []; // for each change, the marks before

function setMarks(some, value) {
  past.push(some.map((row) => [row.id, marks.get(row.id)]));
  change(some.map((row) => [row.id, value]));
}

function undo() {
  change(past.pop() ?? []);
}

function change(pairs) {
  for (const [id, value] of pairs) {
    if (value) marks.set(id, value);
    else marks.delete(id);
  }
  localStorage.setItem(KEY, JSON.stringify([...marks]));
  showMarks();
}

function showMark(where, row) {
  if (marks.has(row.id)) where.dataset.mark = marks.get(row.id);
  else delete where.dataset.mark;
}

function showMarks() {
  [...element("cards").children].forEach((item, place) => showMark(item, view[first + place]));
  if (element("viewer").open) showMark(element("viewer-facts"), view[current]);
  for (const value of ["good", "bad"]) {
    element(`save-${value}`).textContent = `Download ${value}.txt (${marked(value).length.toLocaleString("en")})`;
  }
  element("undo").disabled = past.length === 0;
  element("forget").disabled = marks.size === 0;
}

function marked(value) {
  return [...marks.keys()].filter((id) => marks.get(id) === value);
}

// An id a line; one with a line break, or that begins as such a string does, as a JSON string.
function save(value) {
  const isPlain = (id) => !/^"|[\u0000-\u001f\ud800-\udfff]/.test(id);
  const lines = marked(value).map((id) => `${isPlain(id) ? id : JSON.stringify(id)}\n`);
  const link = make("a", "", "");
  link.href = URL.createObjectURL(new Blob(lines, { type: "text/plain" }));
  link.download = `${value}.txt`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
