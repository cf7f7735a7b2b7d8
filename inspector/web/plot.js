// A small plot of numbers over time, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 56;

/** Where nobody looked for so long, nobody knows what was between. */
const GAP_MS = 10_000;

/** A line through numbers at times, as wide and high as a plot, as SVG writes it; none for less than two. */
export function lineOf(values) {
  if (values.length < 2) return "";
  const [first, last] = [values[0].at, values.at(-1).at];
  const most = Math.max(1, ...values.map(({ value }) => value));
  const x = (at) => (WIDTH * (at - first)) / Math.max(1, last - first);
  const y = (value) => HEIGHT - 2 - ((HEIGHT - 6) * value) / most;
  const begins = (n) => n === 0 || values[n].at - values[n - 1].at > GAP_MS;
  return values.map(({ at, value }, n) => `${begins(n) ? "M" : "L"}${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}

/** How much a count grew in a second, between one sample and the next. */
export function ratesOf(samples, name) {
  return samples.slice(1).map((sample, before) => {
    const s = (sample.at - samples[before].at) / 1000;
    return { at: sample.at, value: Math.max(0, (sample[name] - samples[before][name]) / Math.max(0.001, s)) };
  });
}

/** A plot with its name and its newest number. */
export function plot(name, values, write) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  const number = document.createElement("strong");
  number.textContent = write(values.at(-1)?.value ?? 0);
  caption.append(name, " ", number);
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("d", lineOf(values));
  svg.append(line);
  figure.append(caption, svg);
  return figure;
}
