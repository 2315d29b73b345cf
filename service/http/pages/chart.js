// Charts over time, by uPlot. The library is loaded with the first chart. Colours follow the theme.
import { html, useEffect, useRef } from "./ui.js";

const COLOURS = ["--sea", "--bad", "--good", "--quiet"];
let library;

function loadLibrary() {
  library ??= import("./vendor/uplot.js").then((module) => module.default);
  if (!document.querySelector('link[href="assets/vendor/uplot.css"]')) {
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: "assets/vendor/uplot.css" }));
  }
  return library;
}

const clock = (unix) => new Date(1000 * unix).toLocaleTimeString([], { hour12: false });

const options = (element, names, across) => {
  const dates = !across;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 0.5 }, ticks: { stroke: colour("--line"), width: 0.5 } };
  return {
    width: element.clientWidth, height: 200, cursor: { drag: { x: false, y: false } }, scales: { x: { time: dates }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
    axes: [{ ...axis, space: 90, ...(dates && { values: (_, splits) => splits.map(clock) }) }, { ...axis, size: 56 }],
    series: [dates ? { value: (_, value) => (value ? clock(value) : "–") } : { label: across, value: (_, value) => (value === null || value === undefined ? "–" : Number(value.toFixed(3))) }, ...names.map((label, at) => ({ label, stroke: colour(COLOURS[at]), width: 2, spanGaps: false, points: { show: true, size: 5 }, value: (_, value) => (value === null || value === undefined ? "–" : value.toFixed(value < 10 ? 2 : 0)) }))],
  };
};

// `columns`: the x values, then one list for each name. `across` names the x values. Without it they are Unix times. The text says the same to a reader.
export function Chart({ title, names, columns, across, summary }) {
  const place = useRef(null);
  const chart = useRef(null);
  const latest = useRef(columns);
  latest.current = columns;
  useEffect(() => {
    let gone = false;
    const draw = async () => {
      const Plot = await loadLibrary();
      if (gone) return;
      chart.current?.destroy();
      chart.current = new Plot(options(place.current, names, across), latest.current, place.current);
    };
    draw();
    const theme = matchMedia("(prefers-color-scheme: dark)");
    const sized = new ResizeObserver(() => place.current && chart.current?.setSize({ width: place.current.clientWidth, height: 200 }));
    theme.addEventListener("change", draw);
    sized.observe(place.current);
    return () => { gone = true; theme.removeEventListener("change", draw); sized.disconnect(); chart.current?.destroy(); };
  }, []);
  useEffect(() => { chart.current?.setData(columns); }, [columns]);
  return html`<figure class="figure"><figcaption>${title}</figcaption><div class="chart" ref=${place} role="img" aria-label=${`${title}. ${summary}`}></div></figure>`;
}
