// What a visitor takes along: the face as a PNG, and a card that carries what it is.

import { withTexts } from "./png.js";

const CARD = { width: 1080, height: 1350, face: 840, margin: 120 };
const PAPER = "#f4f0ea";
const INK = "#26221e";
const QUIET = "#6b6259";

/** The face, 224 x 224, with the texts that the command line also writes. */
export async function facePng(pixels, texts) {
  return withTexts(await pngOf(canvasOf(pixels)), texts);
}

/** A card of 1080 x 1350 with a picture of the face and sentences under it. */
export async function cardPng(picture, { title, sentence, details }, texts) {
  await Promise.all([document.fonts.load("64px 'Instrument Serif'"), document.fonts.load("32px 'Instrument Sans'")]);
  const canvas = new OffscreenCanvas(CARD.width, CARD.height);
  const context = canvas.getContext("2d");
  context.fillStyle = PAPER;
  context.fillRect(0, 0, CARD.width, CARD.height);
  drawFace(context, picture);
  context.fillStyle = INK;
  context.font = "64px 'Instrument Serif', serif";
  context.fillText(title, CARD.margin, 1050);
  context.font = "32px 'Instrument Sans', sans-serif";
  const end = writeLines(context, sentence, CARD.margin, 1112, CARD.width - 2 * CARD.margin, 44);
  context.fillStyle = QUIET;
  context.font = "24px 'Instrument Sans', sans-serif";
  context.fillText(details, CARD.margin, Math.max(end + 24, 1270));
  return withTexts(await pngOf(canvas), texts);
}

/** An SVG text as something that can be drawn. */
export async function pictureOf(svg) {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const picture = new Image(CARD.face, CARD.face);
  picture.src = address;
  await picture.decode();
  URL.revokeObjectURL(address);
  return picture;
}

/** Hand a file to the visitor. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The picture; the white ground of a face takes the colour of the paper, a cartoon has its own. */
function drawFace(context, picture) {
  const left = (CARD.width - CARD.face) / 2;
  context.save();
  context.beginPath();
  context.roundRect(left, CARD.margin, CARD.face, CARD.face, 36);
  context.clip();
  context.fillStyle = "#e9e2d8";
  context.fillRect(left, CARD.margin, CARD.face, CARD.face);
  if (picture instanceof OffscreenCanvas) context.globalCompositeOperation = "multiply";
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, left, CARD.margin, CARD.face, CARD.face);
  context.restore();
}

/** Write a text in lines of a width; returns where the next line would stand. */
function writeLines(context, text, x, y, width, height) {
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line ? `${line} ${word}` : word;
    if (line && context.measureText(longer).width > width) {
      context.fillText(line, x, y);
      line = word;
      y += height;
    } else {
      line = longer;
    }
  }
  context.fillText(line, x, y);
  return y + height;
}

/** The pixels of a face as something that can be drawn. */
export function canvasOf(pixels) {
  const size = Math.sqrt(pixels.length / 4);
  const canvas = new OffscreenCanvas(size, size);
  canvas.getContext("2d").putImageData(new ImageData(pixels, size, size), 0, 0);
  return canvas;
}

async function pngOf(canvas) {
  const blob = await canvas.convertToBlob({ type: "image/png" });
  return new Uint8Array(await blob.arrayBuffer());
}
