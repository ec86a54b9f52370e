"""groups.csv, and rates by what it says."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from portraits import encodings, filled

from facauth.errors import UsageProblem
from facauth.measure.comparisons import mean_templates, single_photos
from facauth.measure.folders import portraits
from facauth.measure.groups import cross_tabs, grouped, read_groups

FILES = ("ada/1.jpg", "ada/2.jpg", "bob/1.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "people", *FILES)


def read(folder: Path, text: str) -> dict[str, str] | None:
    (folder / "groups.csv").write_text(text)
    return read_groups(folder / "groups.csv", portraits(folder))


def test_groups_of_people(folder: Path) -> None:
    found = read(folder, "person,group\nada,x\nbob, y \n")
    assert found == {"ada/1.jpg": "x", "ada/2.jpg": "x", "bob/1.jpg": "y"}


def test_groups_of_images(folder: Path) -> None:
    assert read(folder, "\ufeffgroup,image,note\nx,ada/2.jpg,hat\n") == {"ada/2.jpg": "x"}


def test_without_the_file(folder: Path) -> None:
    assert read_groups(folder / "groups.csv", portraits(folder)) is None
    assert grouped(folder, None) == (portraits(folder), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no columns group and person, or group and image"),
        ("person,image,group\n", "has no columns"),
        ("person\nada\n", "has no columns"),
        ("person,group\nada,x\ncy,x\n", "names on line 3 cy, which is not here"),
        ("image,group\nada/1.png,x\n", "names on line 2 ada/1.png, which is not here"),
        ("person,group\nada,x\nbob,\n", "names on line 3 bob, which has no group"),
        ("person,group\nada,x\nada,y\n", "names on line 3 ada, which comes twice"),
        ("person,group\n,x\n", "names on line 2 nobody"),
        ("person,group\nbad\x1b[2J,x\n", "bad\\x1b[2J"),
    ],
)
def test_a_file_that_cannot_be_understood(folder: Path, text: str, said: str) -> None:
    with pytest.raises(UsageProblem) as refused:
        read(folder, text)
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "groups.csv").write_bytes(b"person,group\n\xff,x\n")
    with pytest.raises(UsageProblem, match="cannot be read as CSV"):
        read_groups(folder / "groups.csv", portraits(folder))


def test_groups_of_folders(tmp_path: Path) -> None:
    files = ("hat/ada/1.jpg", "bare/ada/1.jpg", "bare/bob/1.jpg")
    photos, group_of = grouped(filled(tmp_path / "people", *files), "folders")
    assert [(each.file, each.person) for each in photos] == [
        ("bare/ada/1.jpg", "ada"),
        ("bare/bob/1.jpg", "bob"),
        ("hat/ada/1.jpg", "ada"),
    ]
    assert group_of == {"bare/ada/1.jpg": "bare", "bare/bob/1.jpg": "bare", "hat/ada/1.jpg": "hat"}


def test_a_file_of_groups_that_is_named_must_be_there(folder: Path) -> None:
    (folder / "other.csv").write_text("person,group\nada,x\n")
    assert grouped(folder, str(folder / "other.csv"))[1] == {"ada/1.jpg": "x", "ada/2.jpg": "x"}
    with pytest.raises(UsageProblem, match=r"absent\.csv is not there"):
        grouped(folder, str(folder / "absent.csv"))
    with pytest.raises(UsageProblem, match="no photos of two people"):
        grouped(filled(folder.parent / "one", "x/ada/1.jpg"), "folders")


def test_the_worst_group_is_the_one_with_the_highest_rate_among_itself() -> None:
    found, threshold = encodings(*[3] * 12), 0.7
    group = {file: "ab"[person % 2] for file, person in zip(found.files, found.person, strict=True)}
    tabs = cross_tabs(single_photos(found.vectors, found.person), found.files, group, threshold)
    inside = {each.enrolled: each.fmr for each in tabs.across if each.enrolled == each.probe}
    assert tabs.worst
    assert tabs.worst.enrolled == tabs.worst.probe
    assert tabs.worst.fmr
    assert tabs.worst.fmr.value == max(each.value for each in inside.values() if each)
    nobody = cross_tabs(single_photos(found.vectors, found.person), found.files, {}, threshold)
    assert (nobody.worst, nobody.most_missed) == (None, None)


def test_rates_by_group_are_those_of_pairs_of_people() -> None:
    found, threshold = encodings(*[3] * 12), 0.7
    group = {file: "ab"[person % 2] for file, person in zip(found.files, found.person, strict=True)}
    tabs = cross_tabs(single_photos(found.vectors, found.person), found.files, group, threshold)
    similarity = (found.vectors @ found.vectors.T >= threshold).reshape(12, 3, 12, 3).mean((1, 3))
    cells = {(each.enrolled, each.probe): each for each in tabs.across}
    for here, there in product((0, 1), repeat=2):
        pairs = [(a, b) for a in range(here, 12, 2) for b in range(there, 12, 2) if a != b]
        cell = cells["ab"[here], "ab"[there]]
        assert cell.fmr
        assert cell.fmr.value == pytest.approx(np.mean([similarity[pair] for pair in pairs]))
        different = {(min(pair), max(pair)) for pair in pairs}
        assert cell.pairs == len(different)
        assert cell.comparisons == 9 * len(pairs)
        assert cell.matched == sum(similarity[pair] > 0 for pair in different)
    assert cells["a", "a"].fmr != cells["b", "b"].fmr


def test_misses_by_group() -> None:
    found, threshold = encodings(3, 3, 3, 1), 0.9
    group = {"p000/0.jpg": "hat", "p000/1.jpg": "hat", "p001/0.jpg": "hat", "p003/0.jpg": "none"}
    made = single_photos(found.vectors, found.person)
    tabs = cross_tabs(made, found.files, group, threshold)
    hat, none = tabs.within
    similarity = found.vectors @ found.vectors.T < threshold
    first = similarity[[1, 2, 0, 2], [0, 0, 1, 1]].mean()  # both photos with a hat as probes
    second = similarity[[4, 5], [3, 3]].mean()
    assert hat.fnmr
    assert hat.fnmr.value == pytest.approx((first + second) / 2)
    assert (hat.people, hat.comparisons) == (2, 6)
    assert (none.people, none.comparisons, none.fnmr) == (0, 0, None)
    assert tabs.ungrouped == 6


def test_a_template_of_several_groups_is_in_none() -> None:
    found = encodings(2, 2, 2)
    group = {file: file[-5] for file in found.files}  # of both photos of everybody another
    made = mean_templates(found.vectors, found.person, 2)
    tabs = cross_tabs(made, found.files, group, 0.5)
    assert all((each.pairs, each.fmr) == (0, None) for each in tabs.across)
