// What the page adds where scripts run: a trial is shown in all drawings at once, ranges are
// chosen on axes, columns are sorted. Without it everything is there, and stays as it is.
"use strict";
const trials = [...document.querySelectorAll("[data-trial]")];
const drawings = [...document.querySelectorAll("svg")];

function point(name) {
  for (const mark of trials) mark.classList.toggle("hot", mark.dataset.trial === name);
  for (const svg of drawings) svg.classList.toggle("pointed", name !== null && svg.querySelector(".hot") !== null);
}
for (const mark of trials) {
  mark.addEventListener("pointerenter", () => point(mark.dataset.trial));
  mark.addEventListener("pointerleave", () => point(null));
}

// Ranges of heights by the number of their axis; all of them hold.
const ranges = new Map();
const parallel = document.getElementById("parallel");
const lines = parallel ? [...parallel.querySelectorAll("polyline")] : [];

function show() {
  const out = new Set();
  for (const line of lines) {
    const heights = line.getAttribute("points").split(" ").map((pair) => Number(pair.split(",")[1]));
    for (const [axis, [top, bottom]] of ranges)
      if (heights[axis] < top || heights[axis] > bottom) out.add(line.dataset.trial);
  }
  for (const mark of trials) mark.classList.toggle("out", out.has(mark.dataset.trial));
  const count = document.getElementById("count");
  if (count) count.textContent = ranges.size ? `${lines.length - out.size} of ${lines.length} trials` : "";
}

function draw(brush) {
  const chosen = brush.nextElementSibling;
  const [top, bottom] = ranges.get(Number(brush.dataset.axis)) || [0, 0];
  chosen.setAttribute("y", top.toFixed(1));
  chosen.setAttribute("height", (bottom - top).toFixed(1));
}

function heightOf(event) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(parallel.getScreenCTM().inverse()).y;
}

for (const brush of document.querySelectorAll(".brush")) {
  const axis = Number(brush.dataset.axis);
  let began = null;
  brush.addEventListener("pointerdown", (event) => {
    began = heightOf(event);
    brush.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  brush.addEventListener("pointermove", (event) => {
    if (began === null) return;
    const now = heightOf(event);
    // A few pixels are a click.
    if (Math.abs(now - began) > 3) ranges.set(axis, [Math.min(began, now), Math.max(began, now)]);
    else ranges.delete(axis);
    draw(brush);
    show();
  });
  brush.addEventListener("pointerup", (event) => {
    if (began !== null && Math.abs(heightOf(event) - began) <= 3) ranges.delete(axis);
    began = null;
    draw(brush);
    show();
  });
}
const clear = document.getElementById("clear");
if (clear) clear.addEventListener("click", () => {
  ranges.clear();
  document.querySelectorAll(".brush").forEach(draw);
  show();
});

// A click on a head sorts by the column, the next one the other way.
const table = document.getElementById("trials");
function keyOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent;
  const number = Number(text);
  return text !== "" && !Number.isNaN(number) ? [0, number] : [1, text];
}
if (table) [...table.tHead.rows[0].cells].forEach((head, column) => {
  let up = false;
  head.addEventListener("click", () => {
    up = !up;
    const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
    rows.sort(([a], [b]) => (a[0] - b[0] || (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0)) * (up ? 1 : -1));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  });
});
