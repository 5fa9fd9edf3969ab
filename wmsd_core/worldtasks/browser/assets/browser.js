"use strict";
const data = JSON.parse(document.getElementById("frames").textContent);
const at = (id) => document.getElementById(id);
const PAGE = 100;
const DROP = "drop";
const KEPT = "kept";
let shown = [];
let current = 0;

// What a person has marked here, by item, where it differs from what the store knew when the page was written.
const place = `wmsd tags ${data.store}`;
const items = new Map();
for (const frame of data.frames) {
  items.set(frame.id, { kind: "frame", tag: "", note: "" });
  for (const pair of frame.pairs) if (pair.id) items.set(pair.id, { kind: "pair", tag: "", note: "" });
  frame.words = [frame.path, frame.video, ...frame.fates.flat(), ...frame.pairs.flatMap((pair) => [pair.task, pair.solution, ...pair.fates.flat()])].join("\n").toLowerCase();
}
for (const { item, ...mark } of data.tags) items.set(item, mark);
const marks = new Map(kept());

function kept() {
  try {
    return Object.entries(JSON.parse(localStorage.getItem(place) ?? "{}")).filter(([id, mark]) => differs(id, mark));
  } catch {
    return [];
  }
}

// A mark of an item that this page does not show was made on another page of the store, and is kept.
function differs(id, mark) {
  const known = items.get(id);
  return !known || mark.tag !== known.tag || (mark.tag && mark.note !== known.note);
}

const said = (id) => marks.get(id) ?? items.get(id);

function say(id, change) {
  const { kind, tag, note } = { ...said(id), ...change };
  const mark = { kind, tag: tag.trim(), note: note.trim() };
  if (differs(id, mark)) marks.set(id, mark);
  else marks.delete(id);
  try {
    localStorage.setItem(place, JSON.stringify(Object.fromEntries(marks)));
  } catch {
    at("unsaved").textContent = "this browser keeps nothing: save before you leave";
  }
  tell();
}

function tell() {
  at("save").disabled = !marks.size;
  at("unsaved").textContent = marks.size ? `${marks.size} not taken in yet` : "";
  offer(at("tag"), "any tag", tagged);
  const words = new Set([DROP, ...[...at("tag").options].map((option) => option.value)]);
  at("words").replaceChildren(...[...words].filter(Boolean).map((word) => make("option", { value: word })));
}

function save() {
  const lines = [...marks].map(([item, { kind, tag, note }]) => `${JSON.stringify({ item, kind, tag, note })}\n`);
  const link = make("a", { href: URL.createObjectURL(new Blob(lines, { type: "application/jsonl" })), download: "tags.jsonl" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// An element with attributes and children; texts are set as texts, never as markup.
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function button(content, action, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, ...content);
  made.addEventListener("click", action);
  return made;
}

const count = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");
const fates = (frame) => (frame.stage ? frame.fates.map(([reason]) => `${frame.stage}: ${reason}`) : [KEPT]);
const spoken = (fate) => fate.replaceAll("_", " ");
// A frame passes what it or one of its pairs has.
const FILTERS = [
  ["source", (frame) => [frame.source]],
  ["split", (frame) => [frame.split]],
  ["pair", (frame) => frame.pairs.flatMap((pair) => (pair.fates.length ? pair.fates.map(([reason]) => reason) : [KEPT]))],
  ["agent", (frame) => frame.pairs.map((pair) => pair.agent)],
  ["task", (frame) => frame.pairs.map((pair) => pair.kind)],
  ["tag", tagged],
];

function tagged(frame) {
  return [frame.id, ...frame.pairs.map((pair) => pair.id)].filter(Boolean).map((id) => said(id).tag);
}

// Choices with how many frames have each, most frequent first; what was chosen stays chosen.
function offer(select, title, values) {
  const chosen = select.value;
  const counts = new Map(chosen ? [[chosen, 0]] : []);
  for (const frame of data.frames) for (const value of new Set(values(frame))) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  const found = [...counts].sort((a, b) => b[1] - a[1]);
  select.replaceChildren(make("option", { value: "" }, title), ...found.map(([value, frames]) => make("option", { value }, `${spoken(value)} (${count(frames)})`)));
  select.value = chosen;
}

function passes(frame) {
  const fate = at("fate").value;
  const text = at("text").value.trim().toLowerCase();
  if ((fate && !fates(frame).includes(fate)) || !frame.words.includes(text)) return false;
  return [...at("kinds").querySelectorAll("select")].every((select, k) => !select.value || FILTERS[k][1](frame).includes(select.value));
}

function filter() {
  const before = shown[current];
  shown = data.frames.filter(passes);
  at("count").textContent = `${count(shown.length)} of ${count(data.frames.length)} frames`;
  at("list").replaceChildren();
  show(Math.max(0, shown.indexOf(before)));
}

function picture(frame, attributes = {}) {
  if (!frame.picture) return make("div", { class: "none" }, "no picture");
  return make("img", { src: frame.picture, alt: "", class: frame.picture.endsWith(".png") ? "pixelated" : "", ...attributes });
}

function list(first) {
  const page = shown.slice(first, first + PAGE);
  at("range").textContent = shown.length ? `${count(first + 1)} to ${count(first + page.length)}` : "";
  at("earlier").disabled = first === 0;
  at("later").disabled = first + PAGE >= shown.length;
  at("list").dataset.first = first;
  at("list").replaceChildren(
    ...page.map((frame, index) => {
      const tag = said(frame.id).tag;
      const told = make("span", {}, make("b", {}, spoken(fates(frame).join(", "))), make("br"), `${frame.pairs.length} pairs${tag ? `, tagged ${tag}` : ""}`);
      return make("li", {}, button([picture(frame, { loading: "lazy" }), told], () => show(first + index), { title: frame.path, "data-id": frame.id }));
    }),
  );
  point();
}

function marking(id, name) {
  const drop = button([DROP], () => change({ tag: said(id).tag === DROP ? "" : DROP }), { "aria-label": `drop this ${name}` });
  const tag = make("input", { list: "words", placeholder: "or any tag", maxlength: 100, "aria-label": `tag of this ${name}`, size: 14 });
  const note = make("input", { class: "note", placeholder: "note", maxlength: 2000, "aria-label": `note on this ${name}` });
  function tell() {
    drop.setAttribute("aria-pressed", String(said(id).tag === DROP));
    tag.value = said(id).tag;
    note.value = said(id).note;
    note.disabled = !said(id).tag;
  }
  function change(what) {
    say(id, what);
    tell();
    list(Number(at("list").dataset.first));
  }
  tag.addEventListener("change", () => change({ tag: tag.value }));
  note.addEventListener("change", () => change({ note: note.value }));
  tell();
  return make("div", { class: "mark" }, drop, tag, note);
}

function why(found) {
  return found.map(([reason, detail]) => make("p", { class: "facts" }, make("span", { class: "no" }, spoken(reason)), detail ? `: ${detail}` : ""));
}

function pair(one) {
  const kinds = [one.agent, one.kind].filter(Boolean).join(" · ");
  return make(
    "div", { class: "pair" },
    make("p", { class: "task" }, one.task),
    ...why(one.fates),
    ...(kinds ? [make("p", { class: "facts" }, kinds)] : []),
    make("p", { class: "solution" }, one.solution),
    ...(one.id ? [marking(one.id, "pair")] : []),
  );
}

function point() {
  for (const each of at("list").querySelectorAll("button")) {
    if (each.dataset.id === shown[current]?.id) each.setAttribute("aria-current", "true");
    else each.removeAttribute("aria-current");
  }
}

function show(index) {
  current = index;
  const first = Math.floor(index / PAGE) * PAGE;
  if (at("list").dataset.first !== String(first) || !at("list").children.length) list(first);
  const frame = shown[index];
  if (!frame) {
    at("frame").replaceChildren(make("p", { class: "empty" }, "No frame passes these filters."));
    return;
  }
  point();
  at("list").children[index - first].scrollIntoView({ block: "nearest" });
  history.replaceState(null, "", `#${frame.id.slice(0, 12)}`);
  const facts = [`${count(index + 1)} of ${count(shown.length)}`, frame.size, frame.split, frame.source, frame.video, frame.id.slice(0, 12)];
  const figures = frame.figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value))));
  const own = marking(frame.id, "frame");
  at("frame").replaceChildren(
    picture(frame),
    make("h2", {}, frame.path),
    make("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
    make("p", { class: frame.stage ? "no" : "yes" }, frame.stage ? `turned down by ${frame.stage}` : KEPT),
    ...why(frame.fates),
    own,
    make("dl", { class: "figures" }, ...figures),
    ...frame.pairs.map(pair),
  );
}

function move(by) {
  if (shown[current + by]) show(current + by);
}

function turn(by) {
  show(Math.max(0, Number(at("list").dataset.first) + by * PAGE));
}

offer(at("fate"), "all", fates);
at("fate").addEventListener("change", filter);
for (const [title, values] of FILTERS) {
  const select = make("select", { id: title, "aria-label": title });
  offer(select, `any ${title}`, values);
  select.addEventListener("change", filter);
  at("kinds").append(select);
}
at("text").addEventListener("input", filter);
at("save").addEventListener("click", save);
at("earlier").addEventListener("click", () => turn(-1));
at("later").addEventListener("click", () => turn(1));
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowRight") move(1);
  if (event.key === "ArrowLeft") move(-1);
  if (event.key === "d") document.querySelector("#frame > .mark button")?.click();
});
const linked = location.hash.slice(1);
tell();
filter();
const found = shown.findIndex((frame) => linked && frame.id.startsWith(linked));
if (found > 0) show(found);
