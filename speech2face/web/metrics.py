"""What a worker counts of its requests, in the text format of Prometheus.

Every worker process counts for itself; the label `worker` is its number.
Source: Prometheus text exposition format, version 0.0.4.
"""

import os
from bisect import bisect_left
from collections import Counter

BUCKETS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds


class Metrics:
    """Answers by status, and how long faces took."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, int]] = Counter()
        self._faces = [0] * (len(BUCKETS) + 1)  # by the first bucket that they fit into
        self._face_seconds = 0.0

    def count(self, path: str, status: int) -> None:
        """One more answer."""
        self._answers[path, status] += 1

    def face(self, seconds: float) -> None:
        """One more face, made within so many seconds, waiting included."""
        self._faces[bisect_left(BUCKETS, seconds)] += 1
        self._face_seconds += seconds

    def text(self, n_inside: int) -> str:
        """Everything; `n_inside` is how many requests work or wait now."""
        worker = f'worker="{os.getpid()}"'
        lines = ["# TYPE speech2face_answers_total counter"]
        for (path, status), n in sorted(self._answers.items()):
            labels = f'{worker},path="{path}",status="{status}"'
            lines.append(f"speech2face_answers_total{{{labels}}} {n}")
        lines.append("# TYPE speech2face_face_seconds histogram")
        n_faces = 0
        for bound, n in zip((*BUCKETS, "+Inf"), self._faces, strict=True):
            n_faces += n
            lines.append(f'speech2face_face_seconds_bucket{{{worker},le="{bound}"}} {n_faces}')
        lines.append(f"speech2face_face_seconds_sum{{{worker}}} {self._face_seconds:.6f}")
        lines.append(f"speech2face_face_seconds_count{{{worker}}} {n_faces}")
        lines.append("# TYPE speech2face_requests_inside gauge")
        lines.append(f"speech2face_requests_inside{{{worker}}} {n_inside}")
        return "\n".join(lines) + "\n"
