"""The kinds of what can be amiss: what each one means, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.kept_folders import KEPT_DAYS
from mirada.kernel.commands import command_line


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding.

    Attributes:
        name: stands in the output for programs, so it never changes.
        means: what such a finding means.
        advice: what to do; "{repair}" and the like stand for commands.
        done: what `--repair` has done; None where it cannot do anything.
        is_note: worth knowing, and no fault: it changes no exit code.
    """

    name: str
    means: str
    advice: str
    done: str | None = None
    is_note: bool = False

    def advised(self) -> str:
        """Return the advice with its commands as they are typed."""
        return self.advice.format(
            repair=command_line("doctor --repair"),
            rebuild=command_line("index rebuild"),
            failed=command_line("jobs failed"),
        )


_ASIDE = f"Moved into the quarantine, where it is erased after {KEPT_DAYS} days."
_MOVED = "To move it into the quarantine: {repair}"

ORPHAN = Kind(
    "orphan-original",
    "The file of a picture, and no row of the database names it: an upload that a crash cut short, or a "
    "database that was restored from before it.",
    _MOVED,
    _ASIDE,
)
BROKEN_OFF = Kind("broken-off-upload", "A part of an upload that did not end.", _MOVED, _ASIDE)
FOREIGN = Kind(
    "foreign-file",
    "A file that Mirada did not make.",
    "Nothing has to be done. It is left where it is.",
    is_note=True,
)
MISSING = Kind(
    "missing-original",
    "A picture of the database whose file is not there.",
    "Restore the file from a backup to DATA_DIR/images, or where STORAGE_URL says. Until then {repair} shows "
    "its owner that it is lost; no row is deleted.",
    "Its images are marked as failed, with the reason. Restore the file, and run this again.",
)
FOUND_AGAIN = Kind(
    "original-is-back",
    "A picture that was marked as lost, and its file is there again.",
    "To make it searchable again: {repair}",
    "A job makes it searchable again.",
)
OTHER_SIZE = Kind(
    "other-size",
    "The file of a picture has another size than was received: it is damaged.",
    "Restore it from a backup.",
)
OTHER_BYTES = Kind(
    "other-bytes",
    "The file of a picture has its size and not its bytes (SHA-256): it is damaged.",
    "Restore it from a backup.",
)
UNREADABLE = Kind(
    "unreadable",
    "A file or folder that cannot be read.",
    "Let the user who runs Mirada read it; where the disk reports an error, replace the disk.",
)
ORPHAN_COPY = Kind(
    "orphan-copy",
    "A thumbnail or another copy of a picture that is not there any more.",
    _MOVED,
    _ASIDE,
)
OLD_COPY = Kind(
    "outdated-copy", "A copy of a picture as an earlier version made it.", _MOVED, _ASIDE
)
MISSING_COPIES = Kind(
    "missing-copies",
    "A picture whose thumbnails or moving copy were made and are not there.",
    "To have them made again: {repair}",
    "A job makes them again.",
)
TEMPORARY = Kind("temporary-file", "A file that a process left unfinished.", _MOVED, _ASIDE)
OLD_EXPORT = Kind(
    "old-export",
    "The export of a pack that was to be removed after a day, and is still there.",
    "A worker removes it. Where none runs: {repair}",
    "Removed; it can be made again.",
)
NOT_REMOVED = Kind(
    "departure-not-done",
    "The file of a deleted picture, noted to be removed, and still noted after ten minutes.",
    "A worker removes it within a minute. Where none runs: {repair}",
    "Removed, as the deletion asked for.",
)
NOT_ENDED = Kind(
    "end-not-done",
    "A user who was ended, still owns images, and no job clears them away.",
    "To queue that job again: {repair}",
    "A job clears away what was theirs.",
)
ORPHAN_SNAPSHOT = Kind(
    "orphan-index",
    "The files of an index that the database does not name.",
    _MOVED,
    _ASIDE,
)
OTHER_INDEXES = Kind(
    "indexes-of-another-database",
    "Index files of another database, or of this one before it was restored.",
    "Where no other Mirada uses this FAISS_INDEX_DIR, delete the folder. It is a cache.",
    is_note=True,
)
NO_SNAPSHOT = Kind(
    "index-without-files",
    "An index that the database names, and its files are not on this machine. Searches run without it.",
    "Nothing has to be done: it is built again. At once: {rebuild}",
    is_note=True,
)
NO_VECTOR = Kind(
    "no-vector",
    "A picture without a vector, and no job makes one: it is found by no search for pictures.",
    "To queue a job: {repair}",
    "A job makes it.",
)
READY_WITHOUT_VECTOR = Kind(
    "ready-without-vector",
    "A picture is READY without a vector.",
    "To queue a job: {repair}",
    "A job makes the vector.",
)
WAITING = Kind(
    "waits-without-job",
    "A picture has its vector, and its images still wait, with no job that makes them READY.",
    "To queue a job: {repair}",
    "A job makes them READY.",
)
VECTOR_OF_NOTHING = Kind(
    "orphan-vector",
    "A vector whose picture or text is not there any more.",
    "To have indexes drop it: {repair}",
    "Indexes drop it.",
)
NOBODYS = Kind(
    "nobodys-picture",
    "The record of a picture of which there is no image, and that nobody had classified.",
    "To take it out, and move its file into the quarantine: {repair}",
    f"Taken out; its file lies in the quarantine, where it is erased after {KEPT_DAYS} days.",
)
NOBODYS_TEXT = Kind(
    "nobodys-text",
    "A text that no image has as prompt, caption or description.",
    "To take it out: {repair}",
    "Taken out.",
)
JOB_OF_NOTHING = Kind(
    "orphan-job",
    "A job that was given up, about a picture that is not there any more.",
    "To cancel it: {repair}",
    "Cancelled.",
)
DANGLING = Kind(
    "orphan-row",
    "A row that belongs to another one, which is not there any more.",
    "To take it out: {repair}",
    f"Taken out. It is written down in the quarantine, where it is erased after {KEPT_DAYS} days.",
)
BROKEN_REFERENCE = Kind(
    "broken-reference",
    "A row names another one that is not there. Mirada cannot do without it.",
    "Restore the database from a backup, or ask for help with this line.",
)
GIVEN_UP = Kind(
    "job-given-up",
    "A job was tried several times and given up.",
    "Its reason: {failed}",
)
NOT_BEGUN = Kind(
    "job-not-begun",
    "A job has been due for ten minutes, and nobody has begun it.",
    "Start a worker, or the server where it works its own jobs.",
)
MODEL = Kind(
    "model",
    "The encoder, or the model of prompts, does not work.",
    "The line says what to do.",
)

ALL = tuple(each for each in list(globals().values()) if isinstance(each, Kind))
