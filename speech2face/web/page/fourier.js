// The power spectrum of real samples, by the fast Fourier transform of Cooley and Tukey (1965).

/** @returns {Float64Array} |X|^2 of the first half and the middle, of a power of two samples */
export function powerSpectrum(samples) {
  const size = samples.length;
  const real = Float64Array.from(samples);
  const imaginary = new Float64Array(size);
  reverseBits(real);
  for (let length = 2; length <= size; length *= 2) {
    for (let k = 0; k < length / 2; k++) {
      const angle = (-2 * Math.PI * k) / length;
      const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
      for (let i = k; i < size; i += length) {
        const j = i + length / 2;
        const turnedReal = real[j] * cosine - imaginary[j] * sine;
        const turnedImaginary = real[j] * sine + imaginary[j] * cosine;
        real[j] = real[i] - turnedReal;
        imaginary[j] = imaginary[i] - turnedImaginary;
        real[i] += turnedReal;
        imaginary[i] += turnedImaginary;
      }
    }
  }
  return Float64Array.from({ length: size / 2 + 1 }, (_, k) => real[k] ** 2 + imaginary[k] ** 2);
}

function reverseBits(values) {
  const size = values.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [values[i], values[j]] = [values[j], values[i]];
  }
}
