"""Sound file -> waveform -> spectrogram. Knows nothing of faces."""
