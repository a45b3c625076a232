# make demo    makes a face from each sample voice, in out/        (installs what inference needs)
# make report  writes the whole evaluation into report/            (installs everything)
# make paper-demo  trains the paper's networks, tiny, from data to a report  (5 minutes of CPU)
# make test    runs every check and test, in the same way as CI    (installs everything)
#
# PYTHON=python3.12 chooses the interpreter, PIP_ARGS=... goes to every pip install. On Linux,
# PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" fetches the small torch.

PYTHON ?= python3
PIP_ARGS ?=
DATA ?= ../shared/data/authors_page
SPLIT ?= test

INFER := .venv/bin
DEV := .venv-dev/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS)

.PHONY: docs compare demo test test-slow page-packages lint fuzz bench mutants soak report paper-demo default-model constraints clean

demo: .venv/installed
	$(INFER)/speech2face reconstruct examples/*.ogg --out out --force
	@echo "Each is a face consistent with the voice, not the speaker's face: see $(CURDIR)/out"

# Two processes share the test files, with one thread each, so that they do not compete for two cores.
PYTEST := OMP_NUM_THREADS=1 $(DEV)/python -m pytest -n 2 --dist loadfile

test: lint
	$(PYTEST)

# Fetch the npm packages that the tests of the page need; the tests fetch nothing, and skip otherwise.
page-packages: .venv-dev/installed
	$(DEV)/python tests/web/browser.py

test-slow: lint
	$(PYTEST) -m "not gpu and not network"

lint: .venv-dev/installed
	$(DEV)/ruff format --check .
	$(DEV)/ruff check .
	$(DEV)/mypy
	$(DEV)/lint-imports --no-cache

mutants: .venv-dev/installed
	$(DEV)/python tests/mutants.py

soak: .venv-dev/installed
	$(DEV)/python benchmarks/soak.py

# Give N damaged files to every reader; the files that cause a fault are kept in fuzz-findings/.
N ?= 10000
fuzz: .venv-dev/installed
	cd tests && PYTHONPATH=. ../$(DEV)/python -m fuzz.harness --inputs $(N) --found ../fuzz-findings

# The documents as a site, in build/docs. Warnings are errors, and links between pages are checked.
docs: .venv-dev/installed
	$(DEV)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

bench: .venv-dev/installed
	$(DEV)/python benchmarks/inference.py
	$(DEV)/python benchmarks/spectrogram.py
	$(DEV)/python benchmarks/warp.py
	$(DEV)/python benchmarks/loader.py
	$(DEV)/python benchmarks/train_step.py

# Compare the default model with the authors' images on the clips of DATA. Without such clips, the
# report is about an invented world of drawn people. A report of real clips shows photographs of
# people and must not leave this machine.
VOICES = $(wildcard $(DATA)/../librispeech)
report: .venv-dev/installed
	$(DEV)/speech2face evaluate --out report --force $(if $(wildcard $(DATA)/manifest.jsonl),\
	  --authors-page $(DATA) --split $(SPLIT) $(if $(VOICES),--same-speaker $(VOICES)),--invented)

# The paper's two networks from end to end, at a narrow width, in paper-demo/: features, both
# trainings, the model file, faces of the sample voices, and a report on the validation clips. With
# the clips of DATA it is about real people, and must not leave this machine; otherwise it is about
# drawn people. So few clips show that everything works, and not what the method can do.
DEMO := paper-demo
paper-demo: .venv-dev/installed
	$(DEV)/speech2face prepare $(if $(wildcard $(DATA)/manifest.jsonl),authors-page $(DATA),\
	  invented $(DEMO)/world --persons 60) $(DEMO)/features
	$(DEV)/speech2face train face-decoder --config configs/paper-demo-face.toml \
	  --data $(DEMO)/features --run-dir $(DEMO)/face
	$(DEV)/speech2face train voice-encoder --config configs/paper-demo-voice.toml \
	  --data $(DEMO)/features --run-dir $(DEMO)/voice --set face_decoder=$(DEMO)/face
	$(DEV)/speech2face export $(DEMO)/voice $(DEMO)/paper.onnx --force \
	  --face-decoder $(DEMO)/face --features $(DEMO)/features
	$(DEV)/speech2face reconstruct examples/*.ogg --model $(DEMO)/paper.onnx --out $(DEMO)/faces --force
	$(DEV)/speech2face evaluate --manifest $(DEMO)/features/manifest.jsonl --split val \
	  --model $(DEMO)/paper.onnx --curves voice=$(DEMO)/voice/stats.jsonl \
	  --curves face=$(DEMO)/face/stats.jsonl --out $(DEMO)/report --force

# Train other published systems on train, and compare them with ours on val, in comparison/. It has
# pictures made of real people's voices and must not leave this machine.
compare: .venv-dev/installed
	$(DEV)/speech2face compare --data $(DATA) --out comparison --force

default-model: .venv-dev/installed
	$(DEV)/speech2face default-model --data $(DATA) --force

# The environments depend on two files, and are installed again only if one of these changes.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INFER)/python $(PIP_INSTALL) -e .
	@touch $@

.venv-dev/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-dev
	$(DEV)/python $(PIP_INSTALL) -e ".[train,face,sface,language,evaluate,tensorboard,ray,fetch,serve,live,completion,docs,xab,dev]"
	$(DEV)/python -m pip check
	@touch $@

# Write the versions in .venv-dev to constraints.txt, without local version parts and this package.
constraints:
	$(DEV)/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf .venv out paper-demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
