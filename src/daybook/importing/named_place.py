"""The file, folder or glob that `CsvFilePath` names: its problem, and the wait for one that was never there."""

import structlog

from daybook.runtime.waits import Wait
from daybook.sources.files import absolute, is_missing

log = structlog.get_logger("importer")


class NamedPlace:
    """What the looks at the place found."""

    def __init__(self, spec: str | None) -> None:
        self._spec = spec
        self.problem = ""
        """The reason why the last look found nothing; empty when it found something."""
        self.wait = Wait()
        """The wait for a file or folder that was never there."""
        self._was_there = spec is None

    def note(self, problem: str) -> None:
        """Note the outcome of a look, an empty text when it found something; log a new problem."""
        if problem and self.problem != problem:
            log.error(problem)
        self.problem = problem
        self._was_there |= not (problem and is_missing(str(self._spec)))
        if self._was_there:
            self.wait.end()
        else:
            self.wait.begin(problem)

    def note_source(self, path: str) -> None:
        """Note the path of a known source: the place was there if that is its path."""
        self._was_there |= self._spec is not None and path == absolute(self._spec)
