"""Which photos a folder holds, and what each shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from facauth.errors import UsageProblem
from facauth.measure.folders import Pair, pairs, presentations


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def seen(folder: Path) -> dict[str, tuple[str, str | None, str]]:
    return {
        Path(each.path).relative_to(folder).as_posix(): (each.source, each.species, each.group)
        for each in presentations(folder)
    }


def test_one_source(tmp_path: Path) -> None:
    names = ("live/ada/1.jpg", "live/2.PNG", "attack/1.webp", "attack_phone/x/deep/3.jpeg")
    assert seen(filled(tmp_path, *names)) == {
        "live/ada/1.jpg": ("", None, "live/ada"),
        "live/2.PNG": ("", None, "live"),
        "attack/1.webp": ("", "attack", "attack"),
        "attack_phone/x/deep/3.jpeg": ("", "attack_phone", "attack_phone/x"),
    }


def test_several_sources(tmp_path: Path) -> None:
    names = ("b/attack/1.jpg", "a/live/ada/1.jpg", "a/attack_screen/1.jpg", "notes/1.jpg")
    assert seen(filled(tmp_path, *names)) == {
        "a/attack_screen/1.jpg": ("a", "a/attack_screen", "a/attack_screen"),
        "a/live/ada/1.jpg": ("a", None, "a/live/ada"),
        "b/attack/1.jpg": ("b", "b/attack", "b/attack"),
    }


def test_a_folder_with_live_or_attack_is_the_source_itself(tmp_path: Path) -> None:
    filled(tmp_path, "live/1.jpg", "more/live/2.jpg")
    assert list(seen(tmp_path)) == ["live/1.jpg"]


def test_other_and_hidden_files_are_no_photos(tmp_path: Path) -> None:
    filled(tmp_path, "live/1.jpg", "live/notes.txt", "live/.2.jpg", "live/.git/3.jpg")
    assert list(seen(tmp_path)) == ["live/1.jpg"]


@pytest.mark.parametrize("names", [(), ("1.jpg",), ("live/notes.txt",), ("x/y/live/1.jpg",)])
def test_without_the_layout_it_is_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageProblem, match="make live/ and attack") as refused:
        presentations(filled(tmp_path, *names))
    assert refused.value.reasons[0].code == "evaluate.layout"


@pytest.mark.parametrize(("name", "why"), [("absent", "does not exist"), ("f", "is not a folder")])
def test_what_is_no_folder(tmp_path: Path, name: str, why: str) -> None:
    filled(tmp_path, "f")
    for read in (presentations, pairs) if name == "absent" else (presentations,):
        with pytest.raises(UsageProblem, match=why):
            read(tmp_path / name)


def paired(source: Path, folder: Path) -> list[tuple[str, str, str | None]]:
    def short(path: str) -> str:
        return Path(path).relative_to(folder).as_posix()

    return [(short(pair.original), short(pair.path), pair.medium) for pair in pairs(source)]


def test_recaptures_and_others_find_their_original(tmp_path: Path) -> None:
    names = ("original/a.jpg", "original/b.png", "screen/a.webp", "paper/b.jpg")
    filled(tmp_path, *names, "other/a/1.jpg", "other/a/2.jpg", "other/b.jpg")
    assert paired(tmp_path, tmp_path) == [
        ("original/b.png", "paper/b.jpg", "paper"),
        ("original/a.jpg", "screen/a.webp", "screen"),
        ("original/a.jpg", "other/a/1.jpg", None),
        ("original/a.jpg", "other/a/2.jpg", None),
        ("original/b.png", "other/b.jpg", None),
    ]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("original/a.jpg", "screen/b.jpg"), "screen/b.jpg has no original"),
        (("original/a.jpg", "other/b/1.jpg"), "other/b/1.jpg has no original"),
        (("original/a.jpg", "original/a.png", "screen/a.jpg"), "screen/a.jpg has 2 originals"),
        (("original/a.jpg",), "holds no recaptures"),
        (("screen/notes.txt",), "holds no recaptures"),
        (("screen/a.jpg",), "screen/a.jpg has no original"),
    ],
)
def test_a_recapture_is_never_left_out_silently(
    tmp_path: Path, names: tuple[str, ...], why: str
) -> None:
    with pytest.raises(UsageProblem, match=why):
        pairs(filled(tmp_path, *names))


def listed(folder: Path, text: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text(text)
    return path


def test_a_list_names_medium_and_kind_or_the_folder_names_the_medium(tmp_path: Path) -> None:
    text = "original,recapture,medium,kind\na.jpg,screen/a.jpg,,\na.jpg,b.jpg,oled,replay\n"
    path = listed(tmp_path, text + "a.jpg,c.jpg,,\na.jpg,other/d.jpg,oled,other\n")
    assert paired(path, tmp_path) == [
        ("a.jpg", "screen/a.jpg", "screen"),
        ("a.jpg", "b.jpg", "oled"),
        ("a.jpg", "c.jpg", "recapture"),
        ("a.jpg", "other/d.jpg", None),
    ]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "as Excel writes it"])
def test_a_list_with_two_columns(tmp_path: Path, mark: str) -> None:
    path = listed(tmp_path, mark + "original,recapture\no/a.jpg,screen/b.jpg\n")
    expected = Pair(str(tmp_path / "o/a.jpg"), str(tmp_path / "screen/b.jpg"), "screen")
    assert pairs(path) == [expected]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no columns"),
        ("original;recapture\na;b\n", "has no columns"),
        ("original,recapture\n", "lists no pair"),
        ("original,recapture\na.jpg\n", "has a line 2"),
        ("original,recapture,kind\na.jpg,b.jpg,replay\na.jpg,b.jpg,photo\n", "has a line 3"),
    ],
)
def test_a_list_that_cannot_be_understood(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageProblem, match=why) as refused:
        pairs(listed(tmp_path, text))
    assert refused.value.reasons[0].code == "evaluate.pairs"


def test_a_list_in_no_text(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UsageProblem, match="cannot be read as CSV"):
        pairs(path)
