"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
let shown = [];
let current = 0;
let mode = "play";

// An element with attributes and children; texts are set as texts, never as markup.
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function choices(select, options) {
  select.append(...options.map(([value, text]) => make("option", { value }, text)));
  select.addEventListener("change", filter);
}

// Of an item's clip: the verdict on the chosen criterion, or on all of them together; null without one.
function verdict(clip, criterion) {
  if (criterion >= 0) return clip.verdicts[criterion];
  return clip.verdicts.includes(null) ? null : clip.verdicts.every(Boolean);
}

function passes(item) {
  const verdicts = item.clips.map((clip) => verdict(clip, Number(at("criterion").value)));
  const known = new Set(verdicts.filter((found) => found !== null));
  const wanted = at("verdict").value;
  const [way, arm] = wanted.split(" ");
  const fits =
    wanted === "all" ||
    (wanted === "differ" && known.size > 1) ||
    (wanted === "none" && verdicts.includes(null)) ||
    (way === "yes" && verdicts[Number(arm)] === true) ||
    (way === "no" && verdicts[Number(arm)] === false);
  const kinds = [...at("kinds").querySelectorAll("select")];
  const text = at("text").value.trim().toLowerCase();
  return fits && kinds.every((select, k) => !select.value || item.kinds[k] === select.value) && item.task.toLowerCase().includes(text);
}

const mark = (found) => (found === null ? "–" : found ? "✓" : "✗");
const kind = (found) => (found === null ? "unread" : found ? "yes" : "no");

function filter() {
  const before = shown[current];
  shown = data.items.filter(passes);
  at("count").textContent = `${shown.length} of ${data.items.length} items`;
  at("list").replaceChildren(
    ...shown.map((item, index) => {
      const marks = item.clips.map((clip) => clip.verdicts.map(mark).join(""));
      const button = make("button", { type: "button", title: item.task }, make("span", {}, item.task), make("span", { class: "marks" }, marks.join("\n")));
      button.addEventListener("click", () => show(index));
      return make("li", {}, button);
    }),
  );
  show(Math.max(0, shown.indexOf(before)));
}

function frame(strip, title) {
  if (!strip) return make("div", { class: "none", style: "aspect-ratio:1;max-width:var(--tallest)" }, "no video");
  const made = make("div", { class: `frame${strip.pixelated ? " pixelated" : ""}`, role: "img", "aria-label": `Video of ${title}, ${strip.frames} frames` });
  made.style.aspectRatio = `${strip.width}/${strip.height}`;
  made.style.maxWidth = `calc(var(--tallest) * ${strip.width / strip.height})`;
  made.style.backgroundSize = `${100 * strip.frames}% 100%`;
  made.style.animationTimingFunction = `steps(${Math.max(1, strip.frames - 1)})`;
  made.style.backgroundImage = `url("${strip.file}")`;
  return made;
}

function clip(found, arm) {
  const rows = data.criteria.map((criterion, index) => {
    const odds = found.odds[index];
    const told = odds === null ? "" : `${odds < 0 ? "−" : "+"}${Math.abs(odds).toFixed(2)}`;
    const why = found.missing[index] ? [make("td", { class: "why" }, found.missing[index])] : [make("td", { class: "odds", title: "log-odds of the good answer, nats" }, told)];
    return make("tr", {}, make("td", { class: kind(found.verdicts[index]), title: criterion.meaning }, `${mark(found.verdicts[index])} ${criterion.title}`), ...why);
  });
  if (found.pickscore) {
    const [score, first] = found.pickscore;
    const more = `${score < first ? "−" : "+"}${Math.abs(score - first).toFixed(2)}`;
    rows.push(make("tr", {}, make("td", { title: "mean over frames, for the short task: no verdict" }, "PickScore"), make("td", { class: "odds", title: "and what the video adds to its first frame alone" }, `${score.toFixed(2)} (${more})`)));
  }
  return make("div", { class: `clip ${arm.name}` }, make("div", { class: "name" }, arm.title), frame(found.strip, arm.title), make("table", { class: "verdicts" }, make("tbody", {}, ...rows)));
}

function play(chosen) {
  mode = chosen;
  document.body.classList.remove("paused", "first", "last", "moving");
  document.body.classList.add(chosen === "play" ? "moving" : chosen);
  for (const button of document.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === chosen));
}

function step(text, action, attributes = {}) {
  const button = make("button", { type: "button", ...attributes }, text);
  button.addEventListener("click", action);
  return button;
}

function show(index) {
  current = index;
  [...at("list").querySelectorAll("button")].forEach((button, place) => (place === index ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current")));
  const item = shown[index];
  if (!item) {
    at("item").replaceChildren(make("p", { class: "empty" }, "No item passes these filters."));
    return;
  }
  at("list").children[index].scrollIntoView({ block: "nearest" });
  history.replaceState(null, "", `#${item.id}`);
  const kinds = item.kinds.filter(Boolean).join(" · ");
  const steps = [step("← before", () => move(-1)), step("after →", () => move(1))];
  for (const [way, text] of [["play", "play"], ["paused", "pause"], ["first", "first frame"], ["last", "last frame"]]) steps.push(step(text, () => play(way), { "data-mode": way }));
  const solution = item.solution ? [make("details", {}, make("summary", {}, "Detailed solution, as the Demonstrator was told it"), make("p", {}, item.solution))] : [];
  at("item").replaceChildren(
    make("h2", {}, item.task),
    make("p", { class: "facts" }, `${index + 1} of ${shown.length}${kinds ? ` · ${kinds}` : ""} · ${item.id}`),
    make("div", { class: "steps" }, ...steps),
    make("div", { class: "side" }, ...item.clips.map((found, place) => clip(found, data.arms[place]))),
    ...solution,
  );
  play(mode);
}

function move(by) {
  if (shown[current + by]) show(current + by);
}

choices(at("verdict"), [
  ["all", "all items"],
  ["differ", "items where arms differ"],
  ["none", "items without a verdict"],
  ...data.arms.flatMap((arm, place) => [[`no ${place}`, `${arm.title} fails`], [`yes ${place}`, `${arm.title} succeeds`]]),
]);
choices(at("criterion"), [["-1", "all criteria together"], ...data.criteria.map((criterion, index) => [index, criterion.title])]);
data.kinds.forEach((title, index) => {
  const select = make("select", { "aria-label": title });
  const names = [...new Set(data.items.map((item) => item.kinds[index]).filter(Boolean))].sort();
  choices(select, [["", `any ${title.replace(/^.* by /, "")}`], ...names.map((name) => [name, name])]);
  at("kinds").append(select);
});
at("text").addEventListener("input", filter);
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "ArrowRight") move(1);
  if (event.key === "ArrowLeft") move(-1);
});
const linked = location.hash.slice(1);
filter();
const place = shown.findIndex((item) => item.id === linked);
if (place > 0) show(place);
