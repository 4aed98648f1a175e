'use strict';
// The button of a run hides or shows the run in all parts of the page.
const hidden = new Set();
const names = {};
for (const button of document.querySelectorAll('.legend button')) {
  names[button.dataset.run] = button.textContent;
  button.addEventListener('click', () => {
    const run = button.dataset.run, hide = !hidden.has(run);
    hide ? hidden.add(run) : hidden.delete(run);
    button.setAttribute('aria-pressed', String(!hide));
    for (const part of document.querySelectorAll(`main [data-run="${run}"]`)) {
      part.style.display = hide ? 'none' : '';
    }
  });
}

// A button limits the configuration to the keys in which the runs differ.
const only = document.getElementById('only');
if (only) {
  only.hidden = false;
  only.addEventListener('click', () => {
    const on = only.getAttribute('aria-pressed') !== 'true';
    only.setAttribute('aria-pressed', String(on));
    for (const row of document.querySelectorAll('#config .same')) row.hidden = on;
  });
}

// Returns the index of the point whose step is nearest.
function nearest(points, step) {
  let low = 0, high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < step) low = middle + 1; else high = middle;
  }
  return low > 0 && step - points[low - 1][0] < points[low][0] - step ? low - 1 : low;
}

const text = value => Math.abs(value) >= 1e5 ? value.toLocaleString('en', {maximumFractionDigits: 0})
    : String(Number(value.toPrecision(5)));

// The pointer or the arrow keys select the step whose values are shown.
for (const figure of document.querySelectorAll('figure.chart')) {
  const data = figure.querySelector('script'), plot = figure.querySelector('.plot');
  if (!data) continue;
  const chart = JSON.parse(data.textContent), [low, high] = chart.x;
  const cursor = plot.querySelector('.cursor'), box = plot.querySelector('output');
  let shown = low;
  const line = (content, run) => {
    const div = document.createElement('div');
    div.textContent = content;
    if (run !== undefined) div.className = `r${run % 8}`;
    return div;
  };
  const hide = () => { cursor.hidden = box.hidden = true; };
  const show = step => {
    const seen = chart.curves.filter(c => !hidden.has(String(c.run)) && c.points.length > 0);
    if (seen.length === 0) return hide();
    const steps = seen.map(c => c.points[nearest(c.points, step)][0]);
    shown = steps.reduce((a, b) => Math.abs(b - step) < Math.abs(a - step) ? b : a);
    const at = (shown - low) / (high - low), several = Object.keys(names).length > 1;
    box.replaceChildren(line(`step ${shown}`), ...seen.map(c => {
      const [where, value] = c.points[nearest(c.points, shown)];
      const note = where === shown ? '' : ` (step ${where})`;
      return line(`${several ? names[c.run] + ' ' : ''}${c.label} ${text(value)}${note}`, c.run);
    }));
    cursor.style.left = `${100 * at}%`;
    box.style.left = at < 0.5 ? `calc(${100 * at}% + 10px)` : '';
    box.style.right = at < 0.5 ? '' : `calc(${100 * (1 - at)}% + 10px)`;
    cursor.hidden = box.hidden = false;
  };
  plot.tabIndex = 0;
  const follow = event => {
    const area = plot.getBoundingClientRect();
    show(low + (high - low) * (event.clientX - area.left) / area.width);
  };
  plot.addEventListener('pointermove', follow);
  plot.addEventListener('pointerdown', follow);
  plot.addEventListener('pointerleave', hide);
  plot.addEventListener('blur', hide);
  plot.addEventListener('keydown', event => {
    const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!by) return;
    event.preventDefault();
    show(Math.min(high, Math.max(low, shown + by * Math.max(1, (high - low) / 100))));
  });
}
