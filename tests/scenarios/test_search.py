"""sign-in where there are so many people that they are searched by blocks: nobody sees it."""

from __future__ import annotations

import cheap
import pytest
from conftest import Facauth

from facauth.store import means
from facauth.store.sealing import Template
from facauth.structs import Encoding


@pytest.fixture
def enrolled(facauth: Facauth, monkeypatch: pytest.MonkeyPatch) -> Facauth:
    """A store that knows Ada and Bob, who are many."""
    monkeypatch.setattr(means, "SEARCHED_FROM", 2)
    cheap.bind_to(facauth)
    cheap.enrol(facauth, "Ada", "Bob")
    return facauth


def blocks(facauth: Facauth) -> int:
    ((count,),) = facauth.rows("SELECT count(*) FROM means")
    return int(count)


def test_who_is_enrolled_signs_in_and_a_stranger_does_not(enrolled: Facauth) -> None:
    for _ in range(2):  # made, and found
        assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"
        assert enrolled("sign-in", "bob.jpg").stdout == "Bob\n"
        result = enrolled("sign-in", "stranger.jpg", "--json", exit_code=1)
        assert result.codes == ["match.none"]
        assert blocks(enrolled) == 1


def test_the_answer_is_that_of_a_small_store(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = enrolled("sign-in", "ada.jpg", "--json").json
    monkeypatch.setattr(means, "SEARCHED_FROM", 1000)
    small = enrolled("sign-in", "ada.jpg", "--json").json
    assert {**large, "elapsed_ms": None} == {**small, "elapsed_ms": None}


def test_a_claim_needs_no_search(enrolled: Facauth) -> None:
    assert enrolled("sign-in", "ada.jpg", "--as", "ada").stdout == "Ada\n"
    assert blocks(enrolled) == 0


def test_who_was_removed_or_is_new_is_known_at_once(enrolled: Facauth) -> None:
    enrolled("sign-in", "ada.jpg")
    enrolled("rename", "ada", "Ada King")
    assert enrolled("sign-in", "ada.jpg").stdout == "Ada King\n"
    cheap.enrol(enrolled, "stranger")
    assert enrolled("sign-in", "stranger.jpg").stdout == "stranger\n"
    enrolled("remove", "stranger", "--yes")
    enrolled("sign-in", "stranger.jpg", exit_code=1)


def test_a_sealed_block_that_was_altered_lets_nobody_in(enrolled: Facauth) -> None:
    enrolled.encrypt()
    enrolled("sign-in", "ada.jpg")
    enrolled.change("UPDATE means SET vectors = zeroblob(length(vectors))")
    result = enrolled("sign-in", "ada.jpg", "--json", exit_code=7)
    assert result.codes == ["store.altered"]
    assert enrolled("sign-in", "ada.jpg", "--as", "Ada").stdout == "Ada\n"


@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_learned_and_has_expired_is_in_no_block(enrolled: Facauth, sealed: bool) -> None:
    """Time alone makes it so: nobody wrote to the store since its block was made."""
    learned = Template(Encoding(cheap.CONTRACT, cheap.vector("bob")).as_bytes(), None, False, True)
    with enrolled.opened() as store, store.transaction() as change:
        store.person("Ada").add(change, cheap.CONTRACT, [learned])
    if sealed:
        enrolled.encrypt()
    enrolled("sign-in", "ada.jpg", exit_code=1)  # half of her mean is Bob's face
    assert blocks(enrolled) == 1
    enrolled.change("UPDATE templates SET enrolled_at = '2020-01-01' WHERE learned = 1")
    for _ in range(2):
        assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"
        assert enrolled("sign-in", "bob.jpg").stdout == "Bob\n"
    assert enrolled.rows("SELECT count(*) FROM templates WHERE learned = 1") == [(0,)]
