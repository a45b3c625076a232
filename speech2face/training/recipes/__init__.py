"""One file per trained system: which data, networks, terms and settings become a model."""
