"""The outlook of a program that starts: which rules it may meet, and which its children may.

It is told by the records of its start alone, so anybody can tell it who has these, whatever is
known of other processes. Where the outlook of a program and that of its parent have nothing in
common, no document of it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from auditrule.audit.fact import event_of
from auditrule.audit.process import Exec, read_process_event
from auditrule.audit.quick import match_header
from auditrule.ecs.mapping import own_fields, parent_fields
from auditrule.ecs.process import Image
from auditrule.ecs.recorded import RecordedImage, image_of
from auditrule.rules.prospects import ANY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditrule.audit.asked import Asked
    from auditrule.audit.fact import Chances
    from auditrule.ecs.who import WhoReader
    from auditrule.rules.prospects import Prospects


_Found = TypeVar("_Found")
_MOST_KNOWN = 4096
_LONGEST_KNOWN = 2048
# What comes before in the SYSCALL record are numbers.
_TELLS_WHOSE = b" auid="
_HEADER = b" msg=audit(%s):"


class Outlook:
    """Tells which rules are left, each of their alternatives a bit of a number."""

    def __init__(self, prospects: Prospects, who: WhoReader) -> None:
        self._prospects = prospects
        self._who = who
        self.asked: Asked | None = prospects.asked
        """The programs that may meet any rule; None if all may."""
        self.names = None if self.asked is None else self.asked.names
        """Their names, in lower case."""
        # An unknown parent is one of which there are no fields.
        self._of_orphans = self.of_image(Image())
        # Hosts run the same commands again and again.
        self._known: dict[bytes, Chances | None] = {}
        self._known_images: dict[bytes, int] = {}

    def of_records(self, text: bytes, at_id: bytes) -> Chances | None:
        """Return what is left for an exec and for its children; None if that is nothing.

        Its TEXT and its event's ID are the fact's. Whatever has the same records, but for times and
        numbers, has the same outlook, which is looked up in a tenth of the time.
        """
        key = _without_times(text, at_id)
        if key in self._known:
            return self._known[key]
        lookups = self._who.lookups
        chances = self._of_records(text)
        # The host's own names of users may be others later.
        if lookups == self._who.lookups:
            _keep(self._known, key, chances)
        return chances

    def _of_records(self, text: bytes) -> Chances | None:
        deed = read_process_event(event_of(text), self.names)
        if not isinstance(deed, Exec):
            return None
        image = image_of(deed)
        own = self.of(deed, own_fields(image, self._who.read(deed.caller)))
        # Of a few programs' children hardly anybody will ask.
        return own, self.of_image(image) if self.asked is None else None

    def of(self, deed: Exec, own: Mapping[str, Any]) -> int:
        """Return what a program's own fields leave (ecs.mapping.own_fields).

        Arguments that are lost could leave anything, so such a program is to be told of.
        """
        return ANY if deed.truncated else self._prospects.of(own)

    def of_image(self, image: Image) -> int:
        """Return what is left for the children of what runs an image."""
        return self._prospects.of_children(parent_fields(image))

    def of_children(self, image: Image | RecordedImage | None) -> int:
        """Return what is left for the children of a process that runs that; None is not known."""
        if image is None:
            return self._of_orphans
        if not isinstance(image, RecordedImage):
            return self.of_image(image)
        if image.chances is None:
            image.chances = self._of_recorded(image)
        return image.chances

    def _of_recorded(self, image: RecordedImage) -> int:
        match = match_header(image.lines)
        key = (
            b""
            if match is None
            else _without_times(image.lines, b"%s.%s:%s" % match.group(3, 4, 5))
        )
        known = self._known_images.get(key)
        if known is None:
            known = self.of_image(image.told())
            _keep(self._known_images, key, known)
        return known


def _without_times(text: bytes, at_id: bytes) -> bytes:
    """Return the records of an exec without what is of this one alone, b"" where that is not known.

    The event's ID is spelt as in the records.
    """
    begin = text.find(_TELLS_WHOSE)
    if begin < 0:
        return b""
    header = _HEADER % at_id
    key = text[begin:]
    if key.count(header) < key.count(b"\n"):
        # Records of other events stand between its own.
        first, *others = key.split(b"\n")
        key = b"\n".join([first, *(line for line in others if header in line)])
    # No argument can hold a header: the kernel writes one that has a blank in hexadecimal.
    return key.replace(header, b"\0")


def _keep(known: dict[bytes, _Found], key: bytes, found: _Found) -> None:
    if 0 < len(key) <= _LONGEST_KNOWN:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[key] = found
