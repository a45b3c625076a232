"""The one exception for everything that a user can correct."""

MAX_LENGTH = 600  # characters of a problem, or of a remedy


class Speech2FaceError(Exception):
    """What is wrong, what to do about it, and in which file.

    The command line shows it as one line and exits with status 1; any other exception is a bug
    and keeps its traceback.
    """

    def __init__(self, problem: str, remedy: str, path: str | None = None) -> None:
        problem, remedy = _shortened(problem), _shortened(remedy)
        super().__init__(problem, remedy, path)  # all three: else it cannot cross processes
        self.problem, self.remedy, self.path = problem, remedy, path

    def __str__(self) -> str:
        return f"{self.path + ': ' if self.path else ''}{self.problem}; {self.remedy}"


class NotWrittenError(Speech2FaceError):
    """A file or folder cannot be written. Whoever goes on without a part that failed must not
    go on without this one: the results would silently be others."""


def _shortened(text: str) -> str:
    """The text without its middle if it is long: it may quote a value of any length."""
    if len(text) <= MAX_LENGTH:
        return text
    return f"{text[: MAX_LENGTH // 2]} ... {text[-MAX_LENGTH // 2 :]}"
