"""The one exception for everything that a user can correct."""

MAX_LENGTH = 600  # characters of a problem


class Speech2FaceError(Exception):
    """What is wrong, what to do about it, and in which file.

    The command line shows it as one line and exits with status 1; any other exception is a bug
    and keeps its traceback.
    """

    def __init__(self, problem: str, remedy: str, path: str | None = None) -> None:
        if len(problem) > MAX_LENGTH:  # it may quote a value of any length
            problem = f"{problem[: MAX_LENGTH // 2]} ... {problem[-MAX_LENGTH // 2 :]}"
        super().__init__(problem, remedy, path)  # all three: else it cannot cross processes
        self.problem, self.remedy, self.path = problem, remedy, path

    def __str__(self) -> str:
        return f"{self.path + ': ' if self.path else ''}{self.problem}; {self.remedy}"
