// A cartoon of a face: the counterpart of speech2face/inference/cartoon.py, function by function.
// `cartoon.json` of the site holds the rules and the drawings that both apply.

const LIGHTNESS = [0.299, 0.587, 0.114]; // of red, green and blue
const EYES = [[36, 37, 38, 39, 40, 41], [42, 43, 44, 45, 46, 47]];

/**
 * The cartoon of a face, as the text of an SVG file.
 * @param {{notice, rules, parts}} book  cartoon.json
 * @param {Uint8ClampedArray} pixels     RGBA, of a square picture
 * @param {Float32Array} landmarks       `[68, 2]`, (x, y) in pixels
 */
export function cartoonOf({ notice, rules, parts }, pixels, landmarks) {
  const face = new FaceReader(pixels, landmarks, rules.regions);
  const measures = {};
  for (const [name, rule] of Object.entries(rules.measures)) {
    measures[name] = measure(face, rule, measures);
  }
  let body = rules.layers.map((layer) => {
    const drawings = { ...parts.parts[layer], ...rules.own_parts[layer] };
    const { part } = first(rules.choices[layer], measures);
    return layerOf(drawings[part], rules.places[layer] ?? {}, measures);
  }).join("");
  for (const [name, choices] of Object.entries(rules.colours)) {
    body = body.replaceAll(`{${name}}`, colourOf(first(choices, measures), face));
  }
  return (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 280 280" role="img">' +
    `<title>${notice}</title><metadata>${escaped(parts.source.notice)}</metadata>` +
    `${body}</svg>\n`
  );
}

// ---------------------------------------------------------------- what the face shows

/** Regions of a face, each of squares whose places are given by landmarks. */
class FaceReader {
  constructor(pixels, landmarks, regions) {
    this.pixels = pixels;
    this.size = Math.sqrt(pixels.length / 4);
    this.landmarks = landmarks;
    this.regions = regions;
    const [right, left] = EYES.map((points) => this.middle(points));
    this.unit = Math.max(1, Math.hypot(right[0] - left[0], right[1] - left[1]));
  }

  point(number) {
    return [this.landmarks[2 * number], this.landmarks[2 * number + 1]];
  }

  middle(numbers) {
    const points = numbers.map((number) => this.point(number));
    return [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  }

  /** Rows of pixels, each three levels in 0..1, of each square of a region. */
  squares(name) {
    return this.regions[name].map(({ at, shift, half }) => {
      const [x, y] = this.middle(at);
      const centre = [x + shift[0] * this.unit, y + shift[1] * this.unit];
      const [columns, rows] = centre.map((one) =>
        inside(one - half * this.unit, one + half * this.unit, this.size),
      );
      return rows.map((row) => columns.map((column) => this.pixel(row, column)));
    });
  }

  pixel(row, column) {
    const start = 4 * (row * this.size + column);
    return [0, 1, 2].map((k) => this.pixels[start + k] / 255);
  }

  colour(name) {
    const colours = this.squares(name).map((square) =>
      [0, 1, 2].map((k) => mean(square.flat().map((pixel) => pixel[k]))),
    );
    return [0, 1, 2].map((k) => mean(colours.map((colour) => colour[k])));
  }

  lightness(name) {
    return lightnessOf(this.colour(name));
  }

  texture(name) {
    return mean(this.squares(name).map((square) => {
      const light = square.map((row) => row.map(lightnessOf));
      const steps = light.flatMap((row) => row.slice(1).map((value, i) => Math.abs(value - row[i])));
      return steps.length ? mean(steps) / Math.max(0.01, mean(light.flat())) : 0;
    }));
  }
}

/** Whole pixels between two coordinates, at least one of them and all inside the picture. */
function inside(low, high, size) {
  const start = clipped(Math.floor(low + 0.5), 0, size - 1);
  const end = clipped(Math.floor(high + 0.5), start + 1, size);
  return Array.from({ length: end - start }, (_, i) => start + i);
}

function measure(face, rule, before) {
  if ("lightness" in rule) {
    const own = face.lightness(rule.lightness);
    return "over" in rule ? own / Math.max(0.01, face.lightness(rule.over)) : own;
  }
  if ("texture" in rule) return face.texture(rule.texture);
  if ("length" in rule) {
    const over = "over" in rule ? lengths(face, rule.over) : face.unit;
    return lengths(face, rule.length) / Math.max(1, over);
  }
  if ("height" in rule) {
    const [lower, upper] = rule.height.map((points) => face.middle(points)[1]);
    return (lower - upper) / face.unit;
  }
  return Object.entries(rule.sum).reduce(
    (sum, [name, [weight, centre, spread]]) => sum + (weight * (before[name] - centre)) / spread,
    0,
  );
}

function lengths(face, pairs) {
  return mean(pairs.map(([a, b]) => {
    const [from, to] = [face.point(a), face.point(b)];
    return Math.hypot(from[0] - to[0], from[1] - to[1]);
  }));
}

// ---------------------------------------------------------------- what follows from it

/** The first choice all of whose conditions hold; the last one has none. */
function first(choices, measures) {
  return choices.find(({ where = {} }) =>
    Object.entries(where).every(([name, [low, high]]) =>
      (low === null || measures[name] >= low) && (high === null || measures[name] < high),
    ),
  );
}

/** A colour as `#rrggbb`: fixed, or sampled and moved towards a ramp of drawn colours. */
function colourOf(rule, face) {
  if ("fixed" in rule) return rule.fixed;
  const sampled = rule.sample
    .map((name) => face.colour(name))
    .reduce((darkest, one) => (lightnessOf(one) < lightnessOf(darkest) ? one : darkest));
  const drawn = onRamp(rule.ramp, lightnessOf(sampled));
  const mixed = drawn.map((level, k) => rule.share * sampled[k] * 255 + (1 - rule.share) * level);
  return `#${mixed.map((level) => Math.floor(level + 0.5).toString(16).padStart(2, "0")).join("")}`;
}

function onRamp(ramp, position) {
  const stops = ramp.map(([stop]) => stop);
  const levels = ramp.map(([, colour]) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)));
  if (position <= stops[0]) return levels[0];
  if (position >= stops.at(-1)) return levels.at(-1);
  const next = stops.findIndex((stop) => position < stop);
  const share = (position - stops[next - 1]) / (stops[next] - stops[next - 1]);
  return levels[next].map((level, k) => (1 - share) * levels[next - 1][k] + share * level);
}

/** A drawing at its place, stretched about its centre. */
function layerOf(drawing, place, measures) {
  if (!drawing) return "";
  const [x, y] = place.at ?? [0, 0];
  const [middleX, middleY] = place.middle ?? [0, 0];
  const shift = mapped(place.shift, measures, 0);
  const wide = mapped(place.wide, measures, 1);
  const high = mapped(place.high, measures, 1);
  const [a, d, e, f] = [wide, high, x + middleX * (1 - wide), y + shift + middleY * (1 - high)].map(
    (number) => number.toFixed(3),
  );
  return `<g transform="matrix(${a} 0 0 ${d} ${e} ${f})">${drawing}</g>`;
}

function mapped(rule, measures, otherwise) {
  if (!rule) return otherwise;
  const [[low, high], [from, to]] = [rule.from, rule.to];
  const share = Math.min(1, Math.max(0, (measures[rule.measure] - low) / (high - low)));
  return from + share * (to - from);
}

// ---------------------------------------------------------------- numbers and text

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function clipped(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

function lightnessOf(colour) {
  return LIGHTNESS.reduce((sum, weight, k) => sum + weight * colour[k], 0);
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
