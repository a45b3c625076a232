"""What one server takes upon itself, so that no request can use it up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """Limits of one worker process."""

    body_bytes: int = 32 * 2**20  # of one request: half an hour of mp3
    held_bodies: int = 8  # of that size, that all requests together hold in memory
    body_seconds: float = 20.0  # in which the whole request has to arrive
    searched_seconds: float = 1800.0  # of a recording are searched for speech
    draws: int = 8  # further faces of one voice
    photos: int = 20  # that are compared with one voice
    at_once: int = 1  # faces that are made at the same time
    waiting: int = 16  # requests that wait for their turn; further ones are sent away
    face_seconds: float = 60.0  # from a turn to the face
    connections: int = 256  # open at the same time
    grace_seconds: float = 30.0  # for what is under way when the server is told to stop
