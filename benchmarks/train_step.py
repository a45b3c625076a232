"""Time and memory of an update of the voice encoder, from 16-bit sound to new weights.

    python benchmarks/train_step.py                        narrow networks, on the processor
    python benchmarks/train_step.py --full                 also the paper's width: 9 GB, a minute
    python benchmarks/train_step.py --full --device cuda   on a GPU, in float32 and bfloat16

One JSON record a line. Each is beside the estimate that `train --dry-run` would print.
"""

import argparse
import resource

import torch
from timing import measure

from speech2face.audio.segment import N_SAMPLES
from speech2face.data.talking_shards import SoundBatch
from speech2face.models.voice_encoder import PAPER_CHANNELS, VoiceEncoder, VoiceEncoderConfig
from speech2face.training.config import AdamConfig, Lambdas, Plan, VoiceEncoderTraining
from speech2face.training.estimate import SHARE_OF_SPEED, cost_of, matrix_speed
from speech2face.training.machine import Machine
from speech2face.training.state import start_state
from speech2face.training.step import VoiceTerms, voice_encoder_step

NARROW = {
    "an eighth of the width": VoiceEncoderConfig(
        channels=tuple(width // 8 for width in PAPER_CHANNELS), feature_size=512
    ),
    "a quarter of the width": VoiceEncoderConfig(
        channels=tuple(width // 4 for width in PAPER_CHANNELS), feature_size=1024
    ),
}
TERMS = VoiceTerms(Lambdas(decoder=0, feature=1, distillation=0))


def measure_update(
    name: str, model: VoiceEncoderConfig, machine: Machine, accumulate: int, repeats: int
) -> None:
    """One update of `accumulate` micro-batches of eight clips of six seconds."""
    plan = Plan(accumulate=accumulate)
    torch.manual_seed(0)
    modules = {"voice_encoder": VoiceEncoder(model).to(machine.device)}
    state = start_state("paper voice encoder", model, modules, AdamConfig(), plan)
    levels = torch.randint(-9000, 9000, (plan.batch_size, N_SAMPLES)).to(torch.int16)
    sound = SoundBatch(levels, torch.randn(plan.batch_size, model.feature_size))

    def update() -> None:
        batches = [sound.to(machine.device) for _ in range(accumulate)]
        voice_encoder_step(state, batches, TERMS, machine)

    cost = cost_of(VoiceEncoderTraining(model=model, plan=plan))
    speed = SHARE_OF_SPEED * matrix_speed(machine.device)
    update()  # so that the peak is that of an update
    measure(
        f"update of {accumulate} x {plan.batch_size} clips, {name}",
        update,
        shape=(plan.update_size, N_SAMPLES),
        dtype="bfloat16" if machine.is_bfloat16 else "float32",
        device=machine.device.type,
        threads=torch.get_num_threads(),
        repeats=repeats,
        gflop_per_sample=cost.flop_per_sample / 1e9,
        estimated_s=plan.update_size * cost.flop_per_sample / speed,
        estimated_gb=cost.bytes_in_use(accumulate) / 1e9,
        peak_gb=peak_gb(machine.device),
    )


def peak_gb(device: torch.device) -> float:
    """Memory that was in use at most until now: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--full", action="store_true", help="also the paper's width")
    arguments = parser.parse_args()
    machine = Machine(torch.device(arguments.device))
    machines = [machine]
    if machine.at("auto").is_bfloat16:
        machines.append(machine.at("bfloat16"))
    for one in machines:
        for name, model in NARROW.items():
            measure_update(name, model, one, accumulate=1, repeats=5)
        measure_update(*next(iter(NARROW.items())), one, accumulate=4, repeats=5)
        if arguments.full:
            measure_update("the paper's width", VoiceEncoderConfig(), one, accumulate=1, repeats=3)


if __name__ == "__main__":
    main()
