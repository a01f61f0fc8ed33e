// One photo at its own size, with the mask of each step.

let current = 0; // place in the view

function openViewer(place) {
  current = place;
  element("viewer").showModal();
  showPhoto();
}

async function showPhoto(wanted = chosenMask()) {
  const row = view[current];
  element("viewer-name").textContent = row.id;
  element("viewer-facts").textContent = describe(row);
  showMark(element("viewer-facts"), row);
  element("viewer-back").disabled = current === 0;
  element("viewer-forward").disabled = current === view.length - 1;
  const pictures = await picturesOf(row);
  if (row !== view[current]) return; // the reader has gone on
  const [width, height] = pictures.size;
  const frame = element("viewer-picture");
  const room = Math.min((element("viewer").clientWidth - 40) / width, 0.6 * innerHeight / height);
  const scale = element("own-size").checked ? 1 : room;
  frame.style.cssText = `width: ${scale * width}px; height: ${scale * height}px`;
  const labels = ["none", ...Object.keys(pictures.masks)];
  const label = labels.includes(wanted) ? wanted : facts.label;
  const choices = labels.map((each) => {
    const choice = make("label", "", "");
    const radio = Object.assign(document.createElement("input"),
      { type: "radio", name: "mask", value: each, checked: each === label });
    choice.append(radio, ` ${each}`);
    return choice;
  });
  element("viewer-masks").replaceChildren(element("viewer-masks").firstElementChild, ...choices);
  frame.setAttribute("aria-label", `${row.id}, mask: ${label}`);
  draw(frame, pictures, label, true);
}

function chosenMask() {
  return document.querySelector("[name=mask]:checked")?.value ?? facts.label;
}

function step(places) {
  current = Math.max(0, Math.min(current + places, view.length - 1));
  showPhoto();
}

function closed() {
  if (current < first || current >= first + PER_PAGE) turn(current - first);
  element("cards").children[current - first].firstElementChild.focus();
}

function viewerKeys(event) {
  const keys = {
    g: () => { setMarks([view[current]], "good"); step(1); },
    b: () => { setMarks([view[current]], "bad"); step(1); },
    u: undo,
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
  };
  const isOfRadio = event.target.type === "radio" && event.key.startsWith("Arrow");
  if (!isOfRadio) press(keys, event);
}
