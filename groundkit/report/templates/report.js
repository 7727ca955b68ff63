"use strict";

// Filters, order, layers and the sliders of videos. The page is whole without it.
const tools = document.getElementById("tools");
const main = document.querySelector("main");
const words = document.getElementById("words");
const least = document.getElementById("least");
const order = document.getElementById("order");

const entries = [...main.children].map((element) => {
  const { status, score, evidence } = element.dataset;
  const text = element.querySelector("h2").textContent + "\n" + element.querySelector(".source").textContent;
  return {
    element,
    status,
    score: Number.parseFloat(score),
    evidence: Number.parseFloat(evidence),
    worth: Number.parseFloat(evidence ?? score ?? 0),
    text: text.toLocaleLowerCase(),
  };
});
const weighed = entries.some((entry) => !Number.isNaN(entry.evidence));

function filter() {
  const wanted = words.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const status = tools.elements.status.value;
  const bound = Number(least.value);
  let shown = 0;
  for (const entry of entries) {
    const fits =
      (status === "" || entry.status === status) &&
      entry.worth >= bound &&
      wanted.every((word) => entry.text.includes(word));
    entry.element.hidden = !fits;
    shown += fits;
  }
  const total = entries.length;
  const noun = total === 1 ? "result" : "results";
  document.getElementById("summary").textContent =
    shown === total ? `${total} ${noun}` : `${shown} of ${total} ${noun}`;
  document.getElementById("nothing").hidden = shown > 0;
  document.querySelector("output").value = bound.toFixed(2);
}

function sort() {
  const [key, way] = order.value.split(" ");
  const sorted = [...entries];
  if (key) {
    const sign = way === "down" ? -1 : 1;
    // What has no number comes last, whichever way.
    const rank = (entry) => (Number.isNaN(entry[key]) ? Infinity : sign * entry[key]);
    sorted.sort((one, other) => (rank(one) < rank(other) ? -1 : rank(one) > rank(other) ? 1 : 0));
  }
  const moved = document.createDocumentFragment();
  for (const entry of sorted) moved.append(entry.element);
  main.append(moved);
}

function layers() {
  for (const box of tools.elements.layer) main.classList.toggle(`no-${box.value}`, !box.checked);
}

function show(video, place, scroll = true) {
  const strip = video.querySelector(".strip");
  const buttons = [...strip.querySelectorAll("button")];
  const chosen = buttons[place];
  for (const button of buttons) button.toggleAttribute("aria-current", button === chosen);
  const copies = [...chosen.children].map((layer) => layer.cloneNode(true));
  for (const copy of copies) copy.removeAttribute("loading");
  video.querySelector(".stage").replaceChildren(...copies);
  video.querySelector(".caption").textContent = chosen.dataset.caption;
  video.querySelector(".now").setAttribute("transform", `translate(${chosen.dataset.x} 0)`);
  const slider = video.querySelector(".time");
  slider.value = place;
  slider.setAttribute("aria-valuetext", chosen.dataset.caption);
  // The strip alone is moved; scrollIntoView would move the page as well.
  if (scroll) strip.scrollLeft = chosen.offsetLeft - (strip.clientWidth - chosen.clientWidth) / 2;
}

for (const place of document.querySelectorAll("[data-count]")) {
  const status = place.dataset.count;
  place.textContent = entries.filter((entry) => status === "" || entry.status === status).length;
}
document.getElementById("measure").textContent = weighed ? "Minimum evidence" : "Minimum score";
for (const option of [...order.options]) if (option.value.startsWith("evidence") && !weighed) option.remove();

tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("reset", () => setTimeout(() => (filter(), sort(), layers())));
words.addEventListener("input", filter);
least.addEventListener("input", filter);
order.addEventListener("change", sort);
tools.addEventListener("change", (event) => {
  if (event.target.name === "status") filter();
  if (event.target.name === "layer") layers();
});
main.addEventListener("input", (event) => show(event.target.closest(".video"), Number(event.target.value)));
main.addEventListener("click", (event) => {
  const button = event.target.closest(".strip button");
  if (!button) return;
  const items = [...button.closest(".strip").children];
  show(button.closest(".video"), items.indexOf(button.parentElement));
});
for (const video of main.querySelectorAll(".video")) show(video, Number(video.querySelector(".time").value), false);
// A browser that reloads the page keeps what was chosen.
filter();
layers();
if (order.value) sort();
