// The large face: drawn as often as the model can, always the newest wish, and moved smoothly to a
// new voice unless the system asks for no motion.

const FORMING = 900; // ms that a face takes to move from one voice to another
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

export class Portrait {
  #model;
  #picture;
  #marks;
  #shown = null; // {feature, exaggeration, likely}
  #wanted = null;
  #drawing = null; // the promise of the loop that draws
  #onFace;
  face = null; // {pixels, landmarks} on the canvas now

  /** `onFace` is called with every face that is put on the canvas. */
  constructor(model, picture, marks, onFace) {
    this.#model = model;
    this.#picture = picture;
    this.#marks = marks;
    this.#onFace = onFace;
  }

  /** Show a face at once, or as soon as the one before is drawn. Resolves when it stands there. */
  show(view) {
    this.#wanted = { view, from: null };
    return this.#draw();
  }

  /** Move from the present face to another one; the first face grows out of the mean face. */
  form(view, meanExaggeration) {
    if (STILL.matches) return this.show(view);
    const from = this.#shown ?? { ...view, exaggeration: meanExaggeration };
    this.#wanted = { view, from, since: performance.now() };
    return this.#draw();
  }

  #draw() {
    this.#drawing ??= this.#drawAll().finally(() => (this.#drawing = null));
    return this.#drawing;
  }

  async #drawAll() {
    while (this.#wanted !== null) {
      const wish = this.#wanted;
      const share = wish.from === null ? 1 : (performance.now() - wish.since) / FORMING;
      if (share >= 1) this.#wanted = null;
      const view = share >= 1 ? wish.view : between(wish.from, wish.view, eased(share));
      const face = await this.#model.draw(view.feature, view.exaggeration, view.likely);
      this.#shown = view;
      this.face = face;
      await nextFrame();
      paint(this.#picture, face.pixels);
      paintMarks(this.#marks, face.landmarks);
      this.#onFace(face);
    }
  }
}

/** Put the pixels of a face on a canvas of any size. */
export function paint(canvas, pixels) {
  const size = Math.sqrt(pixels.length / 4);
  const image = new ImageData(pixels, size, size);
  if (canvas.width === size) {
    canvas.getContext("2d").putImageData(image, 0, 0);
    return;
  }
  const whole = new OffscreenCanvas(size, size);
  whole.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
}

/** Landmarks `[68, 2]` as dots of an SVG whose view box has the size of the face. */
function paintMarks(group, landmarks) {
  const dots = group.children;
  for (let i = 0; i < landmarks.length / 2; i++) {
    const dot = dots[i] ?? group.appendChild(document.createElementNS(group.namespaceURI, "circle"));
    dot.setAttribute("r", "1.1");
    dot.setAttribute("cx", landmarks[2 * i].toFixed(2));
    dot.setAttribute("cy", landmarks[2 * i + 1].toFixed(2));
  }
}

/** A feature between two: t = 0 is the first, t = 1 the second. */
export function blended(first, second, t) {
  return first.map((value, i) => (1 - t) * value + t * second[i]);
}

function between(from, to, t) {
  return {
    feature: blended(from.feature, to.feature, t),
    exaggeration: (1 - t) * from.exaggeration + t * to.exaggeration,
    likely: to.likely,
  };
}

function eased(t) {
  return t * t * (3 - 2 * t);
}

function nextFrame() {
  return new Promise((resolve) => {
    if (document.hidden) resolve();
    else requestAnimationFrame(resolve);
  });
}
