"""What is told of a face or a match: the same on the command line and by the server."""

from collections.abc import Iterator
from typing import Any

from speech2face.inference.pipeline import Face, ModelCard
from speech2face.inference.png import NOTICE

AGE = "how old the face looks is no estimate of the speaker's age"


def facts_of(face: Face, card: ModelCard) -> dict[str, Any]:
    """How the face was made, as values that JSON knows; its pictures are left out."""
    return {
        "seconds": round(face.seconds, 3),
        "seconds_searched": round(face.seconds_searched, 3),
        "exaggeration": face.exaggeration,
        "truncated": face.truncated,
        "damaged": face.damaged,
        "landmarks": [[round(float(x), 2), round(float(y), 2)] for x, y in face.landmarks],
        "notes": list(_notes(face)),
        "model": card.name,
        "model_sha256": card.sha256,
        "what": NOTICE,
        "age": AGE,
    }


def facts_of_match(score: float, probability: float, rank: int) -> dict[str, Any]:
    """How well a pair fits, as values that JSON knows; `rank` 1 is the best candidate."""
    return {"rank": rank, "score": round(score, 6), "probability": round(probability, 6)}


def _notes(face: Face) -> Iterator[str]:
    """What the user should know about this voice, for example that only a part could be used."""
    yield from face.notes
    if face.truncated:
        problem = f"only the first {face.seconds:.0f} s of speech were used"
        yield f"{problem}; to use another part, cut it out and give it instead"
    if face.damaged:
        problem = f"parts could not be decoded; {face.seconds:.1f} s were used"
        yield f"{problem}; copy or record it again if that is too little"
