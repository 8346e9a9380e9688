// The review page's plots, on canvas: 1,500 samples are 1,500 dots, not 1,500 elements.
"use strict";

function colorOf(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

function fitted(canvas) {
  const box = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return [pen, box.width, box.height];
}

// A click finds the nearest dot; `dots` are [x, y, sample].
function nearest(canvas, event, dots) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, least = 18 * 18;
  for (const dot of dots) {
    const far = (dot[0] - x) ** 2 + (dot[1] - y) ** 2;
    if (far < least) { least = far; best = dot; }
  }
  return best && best[2];
}

function followed(canvas, dots, tell, choose) {
  canvas.onmousemove = event => { canvas.title = nearest(canvas, event, dots()) ? tell(nearest(canvas, event, dots())) : ""; };
  canvas.onclick = event => { const found = nearest(canvas, event, dots()); if (found) choose(found); };
}

const LIMITS = [["fail_below", "fail"], ["warn_below", "warn"], ["warn_above", "warn"], ["fail_above", "fail"]];

// One metric of all samples: a dot a sample, its limits as lines, what lies beyond them shaded.
function strip(canvas, column, rows, tell, choose) {
  let dots = [];
  const values = rows.map(row => row.metrics[column.name]).filter(value => typeof value === "number");
  const limits = LIMITS.filter(([name]) => typeof column[name] === "number");
  const share = column.unit === "share";
  let low = share ? 0 : Math.min(...values, ...limits.map(([name]) => column[name]));
  let high = share ? 1 : Math.max(...values, ...limits.map(([name]) => column[name]));
  if (share && Math.max(...values) < 0.2 && limits.every(([name]) => column[name] < 0.2)) high = 0.2;
  const logarithmic = !share && low > 0 && high / low > 50;
  const scaled = value => logarithmic ? Math.log(value) : value;
  if (high === low) { high += 1; low -= 1; }
  function draw() {
    const [pen, width, height] = fitted(canvas);
    const place = value => 6 + (width - 12) * (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
    pen.clearRect(0, 0, width, height);
    for (const [name, verdict] of limits) {
      const x = place(column[name]), below = name.endsWith("below");
      pen.fillStyle = colorOf(verdict); pen.globalAlpha = .1;
      pen.fillRect(below ? 0 : x, 4, below ? x : width - x, height - 8);
      pen.globalAlpha = 1; pen.fillRect(x - .75, 2, 1.5, height - 4);
    }
    pen.fillStyle = colorOf("line"); pen.fillRect(0, height - 4, width, 1);
    dots = [];
    rows.forEach((row, n) => {
      const value = row.metrics[column.name];
      if (typeof value !== "number") return;
      const y = 8 + (n * 7919 % 97) / 97 * (height - 20);
      dots.push([place(Math.min(high, Math.max(low, value))), y, row.sample]);
      pen.fillStyle = colorOf(row.by_metric[column.name] || "none");
      pen.globalAlpha = rows.length > 300 ? .5 : .85;
      pen.beginPath(); pen.arc(dots.at(-1)[0], y, rows.length > 300 ? 2 : 3.5, 0, 7); pen.fill();
    });
    pen.globalAlpha = 1;
  }
  followed(canvas, () => dots, tell, choose);
  return draw;
}

// The samples on two principal components, coloured by verdict.
function components(canvas, pca, verdictOf, tell, choose) {
  let dots = [];
  const points = Object.entries(pca.points);
  const range = n => { const all = points.map(([, point]) => point[n]); return [Math.min(...all), Math.max(...all)]; };
  const [[left, right], [bottom, top]] = [range(0), range(1)];
  function draw() {
    const [pen, width, height] = fitted(canvas);
    pen.clearRect(0, 0, width, height);
    dots = points.map(([sample, [x, y]]) => [
      16 + (width - 32) * (x - left) / (right - left || 1), height - 16 - (height - 32) * (y - bottom) / (top - bottom || 1), sample]);
    for (const [x, y, sample] of dots) {
      pen.fillStyle = colorOf(verdictOf(sample)); pen.globalAlpha = .8;
      pen.beginPath(); pen.arc(x, y, dots.length > 300 ? 3 : 5, 0, 7); pen.fill();
    }
    pen.globalAlpha = 1;
  }
  followed(canvas, () => dots, tell, choose);
  return draw;
}

// The samples' correlations: pale is like, dark is unlike.
function heatmap(canvas, matrix, choose) {
  const names = matrix.samples, flat = matrix.values.flat();
  const low = Math.min(...flat), high = Math.max(...flat);
  function cell(event) {
    const box = canvas.getBoundingClientRect();
    const at = (part, size) => Math.min(names.length - 1, Math.max(0, Math.floor(names.length * part / size)));
    return [at(event.clientY - box.top, box.height), at(event.clientX - box.left, box.width)];
  }
  function draw() {
    const [pen, width, height] = fitted(canvas), [w, h] = [width / names.length, height / names.length];
    matrix.values.forEach((row, i) => row.forEach((value, j) => {
      const unlike = (high - value) / (high - low || 1);
      pen.fillStyle = `hsl(215 60% ${95 - 65 * unlike}%)`;
      pen.fillRect(j * w, i * h, w + .5, h + .5);
    }));
  }
  canvas.onmousemove = event => { const [i, j] = cell(event); canvas.title = `${names[i]}, ${names[j]}: ${matrix.values[i][j]}`; };
  canvas.onclick = event => choose(names[cell(event)[0]]);
  return draw;
}
