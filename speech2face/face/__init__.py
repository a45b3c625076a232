"""From a photograph to an aligned crop and a frozen face feature. Knows nothing of voices."""
