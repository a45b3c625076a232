// Text inside a PNG file: what the picture is, for whoever finds it without the page.
// Source: PNG specification, third edition, sections 5 and 11.3.3.4 (iTXt).

const SIGNATURE = 8; // bytes
const HEADER = 25; // bytes of the chunk IHDR, which has to be first

/** The PNG with texts `{keyword: text}` inside. */
export function withTexts(png, texts) {
  const chunks = Object.entries(texts).map(([keyword, text]) => chunk("iTXt", internationalText(keyword, text)));
  const place = SIGNATURE + HEADER;
  return new Blob([png.subarray(0, place), ...chunks, png.subarray(place)], { type: "image/png" });
}

function internationalText(keyword, text) {
  const encoder = new TextEncoder();
  // keyword, end, not compressed, method 0, no language, no translated keyword
  return Uint8Array.of(...encoder.encode(keyword), 0, 0, 0, 0, 0, ...encoder.encode(text));
}

/** Length, kind, content and check sum. */
function chunk(kind, content) {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(kind), 4);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, checkSum(bytes.subarray(4, 8 + content.length)));
  return bytes;
}

/** CRC-32 of ISO 3309, bit by bit. */
function checkSum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return (sum ^ 0xffffffff) >>> 0;
}
