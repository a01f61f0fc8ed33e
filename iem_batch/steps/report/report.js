"use strict";
// Shows only the images that the form asks for. Without this script all of them are shown.
const form = document.getElementById("filter");
const cards = [...document.querySelectorAll(".card")];
const wanted = (name) => form.elements[name];

function number(input, otherwise) {
  return Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : otherwise;
}

function matches(card) {
  const { name, error, iou, selected } = card.dataset;
  const most = wanted("iou") ? number(wanted("iou"), Infinity) : Infinity;
  return name.toLowerCase().includes(wanted("name").value.trim().toLowerCase())
    && Number(error) >= number(wanted("least"), -Infinity)
    && Number(error) <= number(wanted("most"), Infinity)
    && (most === Infinity || (iou !== undefined && Number(iou) <= most))
    && (!wanted("selected") || ["", selected].includes(wanted("selected").value));
}

function update() {
  for (const card of cards) card.hidden = !matches(card);
  for (const gallery of document.querySelectorAll(".gallery")) {
    gallery.querySelector(".none").hidden = gallery.querySelector(".card:not([hidden])") !== null;
  }
  const hiddenLabels = new Set(
    [...form.querySelectorAll("[name=label]:not(:checked)")].map((box) => box.value));
  for (const panel of document.querySelectorAll(".panels > div")) {
    panel.hidden = hiddenLabels.has(panel.dataset.label);
  }
  document.documentElement.style.setProperty("--panel", `${wanted("size").value}px`);
  const shown = cards.filter((card) => !card.hidden).length;
  document.getElementById("shown").textContent = `${shown} of ${cards.length} shown`;
}

if (form) {
  form.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("reset", () => setTimeout(update));
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}
