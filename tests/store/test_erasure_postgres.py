"""Of who was removed, files of a PostgreSQL server hold nothing plain, and nothing that opens.

What is searched for, and how, is in benchmarks/erasure.py, which prints the figures.
"""

from __future__ import annotations

import struct

import erasure
import pytest
from postgres import required_programs

WHOLE = 2 * (1024 + erasure.SIGNATURE_BYTES)  # of two photos


@pytest.mark.slow
@pytest.mark.parametrize("by", ["remove", "replace"])
def test_what_is_left_cannot_be_opened(by: str) -> None:
    required_programs()
    enrolled, erased, rewritten, rotated, control = erasure.looks(3, by)
    assert [look.plain for look in (enrolled, erased, rewritten, rotated)] == [0] * 4
    assert enrolled.opened > 0.98 * WHOLE  # nearly all, so it is found where it is
    for look in (erased, rewritten):  # in the log and the backup, and the key with it
        assert look.sealed[erasure.LOG] > 0.98 * WHOLE
        assert look.opened == enrolled.opened
    assert rewritten.sealed["tables"] + rewritten.sealed["TOAST"] == 0
    assert rotated.sealed[erasure.BACKUP] == enrolled.sealed[erasure.BACKUP] > 0.98 * WHOLE
    assert rotated.opened == 0
    # As the documents say: whoever copied the key file before opens what is still there.
    assert rotated.opened_by_copy == enrolled.opened
    assert control.plain == 1024, "or else this finds nothing, ever"


def test_pieces_are_found_at_any_offset() -> None:
    blob = bytes(range(64))
    searched = erasure.Searched([blob])
    for offset in range(20):
        assert searched.within(bytes(offset) + blob + b"..") == set(erasure.pieces(blob))
    assert searched.within(bytes(7) + blob[:17]) == {blob[:16]}
    assert searched.within(blob[1:16]) == searched.within(b"") == set()


def test_headers_of_the_log_are_left_out() -> None:
    """Where a page ends amid the data, the data goes on after the header of the next one."""
    data = bytes(range(250)) * 80
    log, at = b"", 0
    for flags, header in ((2, 40), (1, 24)):
        body = data[at : at + 8192 - header]
        log += struct.pack("<HH", 0xD11A, flags).ljust(header, b"h") + body
        at += len(body)
    assert erasure.joined(log) == data[:at]
