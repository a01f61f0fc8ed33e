// The cut: which photos would be selected by score alone.

const STEP = 100; // bins of the histogram for a score of 1
const numDefined = facts.histogram.reduce((sum, count) => sum + count, 0);
const lowest = facts.histogram.findIndex((count) => count > 0);
const highest = facts.histogram.findLastIndex((count) => count > 0) + 1;

// Of photos beyond the list no more is known than the bin.
function scoreOf(number) {
  if (number < 1) return highest / STEP;
  if (number <= rows.length) return rows[number - 1].score;
  let [bin, above] = [highest, 0];
  while (above < number) above += facts.histogram[bin -= 1];
  return bin / STEP;
}

function numberFrom(score) {
  const place = rows.findIndex((row) => row.status !== "ok" || row.score < score);
  if (place >= 0) return place;
  const from = Math.ceil(score * STEP);
  return Math.max(rows.length, facts.histogram.slice(from).reduce((sum, count) => sum + count, 0));
}

function setCut(number, score) {
  k = Math.max(0, Math.min(Math.round(number) || 0, numDefined));
  const at = score ?? scoreOf(k);
  element("k").value = k;
  element("cut").value = at;
  for (const end of ["x1", "x2"]) element("line").setAttribute(end, at * STEP - lowest);
  element("cut-text").textContent = `${k.toLocaleString("en")} of ${numDefined.toLocaleString("en")} have a score of ${at.toFixed(3)} or more.`;
}

function showCut() {
  form.reset();
  filter();
  turn(k - PER_PAGE / 2);
}

function drawHistogram() {
  const counts = facts.histogram.slice(lowest, highest);
  const most = Math.max(...counts);
  const part = (tag, values) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(values)) made.setAttribute(name, value);
    return made;
  };
  const bars = counts.map((count, x) =>
    part("rect", { x, y: 100 - 100 * count / most, width: 0.9, height: 100 * count / most }));
  element("histogram").setAttribute("viewBox", `0 0 ${counts.length} 100`);
  element("histogram").replaceChildren(...bars, part("line", { id: "line", y1: 0, y2: 100 }));
  element("cut").min = lowest / STEP;
  element("cut").max = highest / STEP;
}

function startCut() {
  drawHistogram();
  setCut(Math.min(facts.k, numDefined));
  element("k").onchange = () => { setCut(element("k").valueAsNumber); showCut(); };
  element("cut").oninput = () => { const score = element("cut").valueAsNumber; setCut(numberFrom(score), score); };
  element("cut").onchange = showCut;
}
