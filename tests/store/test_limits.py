"""Attempt limits: the rules against a model, and against whoever sets clocks, kills or tampers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import stores
import tries as benchmark
from conftest import NewStore, change_types
from engines import InFile, Keeping
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres import required_programs
from raw import database
from stores import ENGINES

from facauth.errors import (
    Attack,
    Conflict,
    FacauthError,
    LockedOut,
    NoMatch,
    Reason,
    SetupProblem,
    UnusableImage,
    UsageProblem,
)
from facauth.records import PersonName
from facauth.settings import LIMITS, AttemptLimits
from facauth.store import limits
from facauth.store.attempt import Attempt
from facauth.store.clock import Clock
from facauth.store.limits import Tries, delay_s, passed_s, spoken, weight
from facauth.store.sealing import Template
from facauth.store.store import Store

ADA, BOB = PersonName.parse("Ada"), PersonName.parse("Bob")
PHOTO = Template(b"x" * 1024, None, accepted_spoof=False)
DAY_S = 86_400.0


def refusal(kind: type[FacauthError], code: str) -> FacauthError:
    return kind(Reason(code, "no", "no"))


NO = refusal(NoMatch, "match.none")
ATTACK = refusal(Attack, "replay.enrolled_picture")
UNUSABLE = refusal(UnusableImage, "face.none")
OUTCOMES = {"no": NO, "attack": ATTACK, "unusable": UNUSABLE}


@dataclass
class World:
    """The true time, and a machine whose clock can be set and that can be started anew."""

    true_s: float = 10 * DAY_S
    started_s: float = 5 * DAY_S
    set_by_s: float = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.true_s + self.set_by_s, lambda: self.true_s - self.started_s)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def kept(new_store: NewStore, tmp_path: Path) -> Iterator[Keeping]:
    kept = new_store(tmp_path)
    with kept.opened(create=True) as store, store.transaction() as change:
        store.person(ADA).add(change, "test/1", [PHOTO])
        store.person(BOB).add(change, "test/1", [PHOTO])
    yield kept
    kept.close()


@pytest.fixture
def store(kept: Keeping, world: World) -> Iterator[Store]:
    with kept.opened(clock=world.clock) as store:
        yield store


def attempt(
    store: Store,
    outcome: FacauthError | str | None,
    claimed: str | None = "Ada",
) -> bool:
    """Whether a try with this outcome (a name: of who is accepted) was let through to a look."""
    looked = False
    try:
        with store.attempt(claimed) as begun:
            looked = True
            if isinstance(outcome, str):
                begun.accept(store.person(outcome).uid)
            elif outcome is not None:
                raise outcome
    except LockedOut as lock:
        return looked and lock is outcome
    except FacauthError as error:
        assert error is outcome
    return looked


def wait_s(store: Store, claimed: str | None = "Ada") -> float | None:
    """What LockedOut says; 0 where a try is let through (and given back)."""
    try:
        with store.attempt(claimed):
            raise UNUSABLE
    except LockedOut as lock:
        return lock.retry_after_s
    except UnusableImage:
        return 0


# --- the rules ------------------------------------------------------------------------------------


def test_the_delay_doubles_from_half_a_minute_to_an_hour() -> None:
    delays = [delay_s(failures, LIMITS) for failures in range(8, 20)]
    assert delays == [0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


@pytest.mark.parametrize(
    ("rules", "stop"), [(LIMITS, 100), (LIMITS._replace(stop_failures=50), 50)]
)
def test_at_last_there_is_a_stop(rules: AttemptLimits, stop: int) -> None:
    assert delay_s(stop - 1, rules) == 3600
    assert delay_s(stop, rules) == delay_s(2**53, rules) == math.inf


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 s"), (27, "27 s"), (120, "120 s"), (121, "3 min"), (3600, "60 min")],
)
def test_a_wait_is_rounded_up(seconds: int, text: str) -> None:
    assert spoken(seconds) == text


@pytest.mark.parametrize(
    ("kind", "code", "count"),
    [
        (NoMatch, "match.none", 1),
        (NoMatch, "match.ambiguous", 1),
        (NoMatch, "match.nobody_enrolled", 0),
        (Attack, "liveness.presentation_attack", 2),
        (Attack, "replay.enrolled_picture", 2),
        (UnusableImage, "face.none", 0),
        (UnusableImage, "quality.sharpness", 0),
        (UnusableImage, "liveness.context", 0),
        (UnusableImage, "liveness.doubt", 1),
        (UnusableImage, "replay.same_sitting", 1),
        (LockedOut, "limit.delay", 1),
        (Conflict, "name.changed", 0),
        (UsageProblem, "image.missing", 0),
        (SetupProblem, "store.busy", 0),
    ],
)
def test_what_tells_something_about_the_face_counts(
    kind: type[FacauthError], code: str, count: int
) -> None:
    assert weight(refusal(kind, code)) == count


@pytest.mark.parametrize(
    ("now", "passed"),
    [
        ((1040, 540), 40),
        ((1040 + DAY_S, 540), 40),  # set forward
        ((1040 - DAY_S, 540), 40),  # set back
        ((1010, 540), 10),  # set back a little: only what both agree on
        ((1010, 30), 10),  # started anew
        ((1040 + DAY_S, 30), 30),  # ... and set forward
        ((1040 - DAY_S, 30), 30),
        ((1000 + DAY_S, 500 + DAY_S), DAY_S),  # a suspended machine's clock since boot went on
    ],
)
def test_no_more_time_passed_than_both_clocks_say(now: tuple[float, float], passed: float) -> None:
    assert passed_s(Tries(0, 1, 1000.0, 500.0), *now) == passed


def test_a_clock_that_gives_no_number_lets_nobody_in(store: Store, kept: Keeping) -> None:
    for _ in range(LIMITS.max_failures):
        assert attempt(store, NO)
    clock = Clock(lambda: math.nan, lambda: math.nan)
    with (
        kept.opened(clock=clock) as broken,
        pytest.raises((FacauthError, ValueError)),
        broken.attempt("Ada"),
    ):
        pytest.fail("let through")


def test_a_time_that_is_no_number_is_no_time_passed() -> None:
    with pytest.raises((LockedOut, ValueError)):
        limits.require_unlocked(Tries(0, LIMITS.max_failures, math.nan, math.nan), LIMITS, Clock())


# --- a model of the rules -------------------------------------------------------------------------


@dataclass
class Try:
    """A try that was let through."""

    manager: AbstractContextManager[Attempt]
    accept: Callable[[str], object]
    at_s: float  # true time
    count: int = limits.GRAVEST  # as many failures, from the moment it begins
    open: bool = True


@dataclass
class Model:
    """What SP 800-63B-4 allows, told in true time; it keeps all tries."""

    world: World
    store: Store
    tries: list[Try] = field(default_factory=list)

    @property
    def failures(self) -> int:
        return sum(each.count for each in self.tries)

    def allows(self) -> bool:
        last_s = max((each.at_s for each in self.tries if each.count), default=-math.inf)
        return self.world.true_s - last_s >= delay_s(self.failures, LIMITS)

    def begin(self) -> bool:
        """Whether a try was let through, which the model must allow."""
        manager = self.store.attempt("Ada")
        try:
            begun = manager.__enter__()
        except LockedOut as lock:
            assert lock.retry_after_s is None or 0 < lock.retry_after_s <= 3600
            return False
        assert self.allows()
        self.tries.append(Try(manager, begun.accept, self.world.true_s))
        return True

    def end(self, outcome: str, which: int) -> None:
        """One of the tries under way comes to its end."""
        under_way = [each for each in self.tries if each.open]
        if not under_way:
            return
        ended = under_way[which % len(under_way)]
        ended.open = False
        if outcome == "success":
            ended.accept(self.store.person("Ada").uid)
            ended.manager.__exit__(None, None, None)
            self.forget()
        elif outcome != "killed":
            error = OUTCOMES[outcome]
            assert not ended.manager.__exit__(type(error), error, None)
            ended.count, ended.at_s = weight(error), self.world.true_s

    def unlock(self) -> None:
        """As the operator does."""
        with self.store.transaction() as change:
            assert change.unlock(self.store.person("Ada").uid) == self.failures
        self.forget()

    def forget(self) -> None:
        """What was begun before does not count any more; what ends after does."""
        for each in self.tries:
            each.count = 0


@contextmanager
def modelled() -> Iterator[Model]:
    """A store in memory that knows Ada."""
    world = World()
    with (
        TemporaryDirectory() as folder,
        Store.open(Path(folder) / "people.sqlite3", create=True, clock=world.clock) as made,
    ):
        in_memory = made._opened.trial()
    with Store(in_memory) as store:
        with store.transaction() as change:
            store.person(ADA).add(change, "test/1", [PHOTO])
        yield Model(world, store)


WAITS = st.sampled_from([0.5, 29.0, 31.0, 1000.0, 3599.0, 3601.0, DAY_S])
SETTINGS = st.sampled_from([-DAY_S, -3600.0, -20.0, 0.0, 20.0, 3600.0, DAY_S])
ENDS = st.sampled_from(["no", "attack", "unusable", "killed", "success"])
STEPS = st.one_of(
    st.tuples(st.just("wait"), WAITS),
    st.tuples(st.just("set"), SETTINGS),
    st.tuples(st.sampled_from(["restart", "unlock"]), st.just(0)),
    st.tuples(st.just("begin"), st.integers(1, 12)),
    st.tuples(ENDS, st.integers(0, 3)),
)


@pytest.mark.slow
@given(steps=st.lists(STEPS, max_size=80))
@settings(max_examples=300, deadline=None)
def test_whatever_clocks_do_nobody_gets_a_try_too_early(
    steps: list[tuple[str, float]],
) -> None:
    """Tries side by side, killed ones, clocks set and machines started anew, in any order."""
    with modelled() as model:
        for step, value in steps:
            model.world.true_s += 0.001
            if step == "wait":
                model.world.true_s += value
            elif step == "set":
                model.world.set_by_s = value
            elif step == "restart":
                model.world.started_s = model.world.true_s
            elif step == "unlock":
                model.unlock()
            elif step == "begin":
                for _ in range(int(value)):
                    model.begin()
            else:
                model.end(step, int(value))
            assert model.store.person("Ada").failures() == model.failures


@pytest.mark.slow
@given(
    steps=st.lists(st.tuples(WAITS, ENDS), max_size=150),
)
@settings(max_examples=100, deadline=None)
def test_with_clocks_that_are_right_nobody_waits_longer_than_they_must(
    steps: list[tuple[float, str]],
) -> None:
    with modelled() as model:
        for waited_s, outcome in steps:
            model.world.true_s += waited_s
            allowed = model.allows()
            assert model.begin() == allowed
            model.end(outcome, 0)
            assert model.store.person("Ada").failures() == model.failures


def test_the_tries_before_each_delay_and_before_the_stop() -> None:
    """With all the patience in the world, a hundred tries and not one more."""
    rules = LIMITS
    with modelled() as model:
        for failures in range(rules.stop_failures):
            delay = delay_s(failures, rules)
            if delay:
                model.world.true_s += delay - 1
                assert not model.begin()
                model.world.true_s += 1
            assert model.begin()
            model.end("no", 0)
        model.world.true_s += 3650 * DAY_S
        assert not model.begin()
        model.unlock()
        assert model.begin()


# --- in a store -----------------------------------------------------------------------------------


def test_a_try_counts_before_anything_is_looked_at(store: Store, kept: Keeping) -> None:
    with pytest.raises(NoMatch), store.attempt("ada"):
        assert stored(kept) == [(uid(kept, "Ada"), limits.GRAVEST)]
        raise NO
    assert stored(kept) == [(uid(kept, "Ada"), 1)]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError, GeneratorExit])
def test_what_ends_otherwise_has_failed(store: Store, error: type[BaseException]) -> None:
    with pytest.raises(error), store.attempt("Ada"):
        raise error
    assert store.person("Ada").failures() == limits.GRAVEST


@pytest.mark.parametrize(("outcome", "count"), [(NO, 1), (ATTACK, 2), (UNUSABLE, 0), (None, 2)])
def test_a_try_without_a_name_counts_for_the_person_it_comes_near_as_well(
    store: Store, kept: Keeping, outcome: FacauthError | None, count: int
) -> None:
    """None: killed, so never settled."""
    ada = uid(kept, "Ada")
    with suppress(FacauthError, GeneratorExit), store.attempt(None) as begun:
        begun.came_near(ada)
        assert stored(kept) == [("", limits.GRAVEST), (ada, limits.GRAVEST)]
        raise outcome or GeneratorExit
    assert (store.failures(), store.person("Ada").failures(), store.person("Bob").failures()) == (
        count,
        count,
        0,
    )


@pytest.mark.sqlite("looks into its connection")
def test_near_nobody_and_near_somebody_write_as_often(store: Store, kept: Keeping) -> None:
    """So how long it takes does not tell."""
    written = []
    for whom in (None, uid(kept, "Ada"), "somebody who was removed"):
        statements: list[str] = []
        with suppress(NoMatch), store.attempt(None) as begun:
            database(store)._db.set_trace_callback(statements.append)
            begun.came_near(whom)
            database(store)._db.set_trace_callback(None)
            raise NO
        written.append([each for each in statements if each.startswith(("INSERT", "COMMIT"))])
    assert [len(each) for each in written] == [2, 2, 2]
    assert (store.person("Ada").failures(), store.failures()) == (1, 3)


def test_who_is_locked_is_so_without_a_name_before_the_photo_is_judged(
    store: Store, kept: Keeping
) -> None:
    for _ in range(LIMITS.max_failures):
        assert attempt(store, NO)
    with pytest.raises(LockedOut), store.attempt(None) as begun:
        begun.came_near(uid(kept, "Ada"))
        pytest.fail("judged")
    assert (store.person("Ada").failures(), store.failures()) == (LIMITS.max_failures, 1)


def test_each_person_and_everybody_have_counts_of_their_own(store: Store, world: World) -> None:
    for _ in range(LIMITS.max_failures):
        assert attempt(store, NO)
        assert attempt(store, NO, None)
    assert (store.person("Ada").failures(), store.person("Bob").failures(), store.failures()) == (
        10,
        0,
        10,
    )
    assert not attempt(store, NO)
    assert not attempt(store, NO, None)
    assert attempt(store, "Bob", "Bob")
    assert (store.person("Ada").failures(), store.failures()) == (10, 10)


def test_a_success_of_anybody_clears_their_count_and_everybodys(store: Store, world: World) -> None:
    for _ in range(4):
        attempt(store, NO)
        attempt(store, NO, "Bob")
        attempt(store, NO, None)
    assert attempt(store, "Ada", None)
    assert (store.person("Ada").failures(), store.person("Bob").failures(), store.failures()) == (
        0,
        4,
        0,
    )


def test_whoever_is_locked_is_not_found_among_all_either(store: Store, world: World) -> None:
    for _ in range(LIMITS.max_failures):
        attempt(store, NO)
    for number in range(1, 4):
        with pytest.raises(LockedOut) as lock, store.attempt(None) as begun:
            begun.accept(store.person("Ada").uid)
        assert lock.value.retry_after_s == 30
        assert store.failures() == number  # it told something
    assert store.person("Ada").failures() == 10
    assert attempt(store, "Bob", None)
    world.true_s += 30
    assert attempt(store, "Ada", None)
    assert store.person("Ada").failures() == 0


def test_a_locked_name_is_refused_under_any_spelling(store: Store, world: World) -> None:
    for claimed in ["ada", "ADA", " Ada "] * 4:
        attempt(store, NO, claimed)
    assert store.person("Ada").failures() == 10
    assert wait_s(store, "aDA") == 30


def test_a_new_name_is_no_new_count(store: Store, world: World) -> None:
    for _ in range(LIMITS.max_failures):
        attempt(store, NO)
    with store.transaction() as change:
        store.person(ADA).rename(change, PersonName.parse("Ada King"))
    assert wait_s(store, "Ada King") == 30


def test_an_unusable_photo_is_given_back_even_at_the_edge(store: Store, world: World) -> None:
    for _ in range(LIMITS.max_failures - 1):
        attempt(store, NO)
    for _ in range(20):
        assert attempt(store, UNUSABLE)
    assert attempt(store, NO)
    assert wait_s(store) == 30
    world.true_s += 30
    for _ in range(20):
        assert attempt(store, UNUSABLE)  # and does not prolong the delay
    assert store.person("Ada").failures() == 10


@pytest.mark.sqlite("looks into its connection")
def test_a_count_that_could_not_be_written_is_not_given_back(store: Store) -> None:
    for _ in range(3):
        attempt(store, NO)
    database(store)._db.executescript(  # what fails is the COMMIT
        """CREATE TEMP TABLE last (x REFERENCES none (y) DEFERRABLE INITIALLY DEFERRED);
        CREATE TEMP TABLE none (y PRIMARY KEY);
        CREATE TEMP TRIGGER full AFTER UPDATE ON main.tries WHEN new.failures = 5
        BEGIN INSERT INTO last VALUES (1); END"""
    )
    with pytest.raises(SetupProblem) as fault, store.attempt("Ada"):
        pytest.fail("let through")
    assert "constraint" in str(fault.value.__cause__).lower()
    assert store.person("Ada").failures() == 3


def test_whoever_is_removed_meanwhile_is_not_let_in(store: Store, kept: Keeping) -> None:
    """Nor is who is enrolled under that name since: it is not the person the photo was of."""
    for claimed in ("Ada", None):
        with pytest.raises(Conflict) as conflict, store.attempt(claimed) as begun:
            before = store.person("Ada").uid
            with kept.opened() as other, other.transaction() as change:
                other.person(ADA).remove(change)
                other.person(ADA).add(change, "test/1", [PHOTO])
            begun.accept(before)
        assert conflict.value.reasons[0].code == "name.changed"
        assert store.person("Ada").failures() == store.failures() == 0
    with pytest.raises(Conflict), store.attempt("Ada") as begun:
        with kept.opened() as other, other.transaction() as change:
            other.person(ADA).remove(change)
            other.person(ADA).add(change, "test/1", [PHOTO])
        begun.accept(store.person("Ada").uid)  # the claim was of the other one
    assert {row[0] for row in stored(kept)} <= {uid(kept, "Ada"), ""}
    assert "signed_in" not in [event.verdict for event in store.events()]


def test_whoever_is_renamed_meanwhile_stays_who_they_are(store: Store, kept: Keeping) -> None:
    with store.attempt("Ada") as begun:
        before = store.person("Ada").uid
        with kept.opened() as other, other.transaction() as change:
            other.person(ADA).rename(change, PersonName.parse("Ada King"))
            other.person(BOB).rename(change, ADA)
        begun.accept(before)
    (event,) = store.events()
    assert (event.verdict, event.person) == ("signed_in", "Ada King")


def test_the_log_names_whom_the_try_was_about_whatever_they_are_called_since(
    store: Store, kept: Keeping
) -> None:
    with pytest.raises(NoMatch), store.attempt("Ada"):
        with kept.opened() as other, other.transaction() as change:
            other.person(ADA).rename(change, PersonName.parse("Ada King"))
            other.person(BOB).rename(change, ADA)
        raise NO
    (event,) = store.events()
    assert (event.verdict, event.person) == ("no_match", "Ada King")


@pytest.mark.sqlite("is made read-only by a pragma")
def test_a_store_that_cannot_be_written_lets_nobody_try(kept: Keeping) -> None:
    with kept.opened() as store:
        database(store).write("PRAGMA query_only = ON")
        with pytest.raises(SetupProblem) as problem, store.attempt("Ada"):
            pytest.fail("let through")
    assert problem.value.reasons[0].code == "store.read_only"


@pytest.mark.sqlite("makes a store by opening it")
def test_without_a_store_there_is_nobody_to_try(tmp_path: Path) -> None:
    none = InFile(tmp_path / "none")
    with pytest.raises(SetupProblem) as problem, none.opened():
        pytest.fail("opened")
    assert problem.value.reasons[0].code == "store.missing"
    assert list(tmp_path.iterdir()) == []
    with none.opened(create=True) as store:
        with pytest.raises(Conflict), store.attempt("Ada"):
            pytest.fail("let through")
        assert attempt(store, refusal(NoMatch, "match.nobody_enrolled"), None)
        assert stored(none) == [("", 0)]


def test_a_copy_for_trials_has_no_limits_and_leaves_no_trace(store: Store, kept: Keeping) -> None:
    before = kept.everything()
    copy = store.in_memory()
    for _ in range(LIMITS.stop_failures + 50):
        assert attempt(copy, ATTACK)
    assert attempt(copy, "Ada")
    copy.close()
    assert stored(kept) == []
    assert list(store.events()) == []
    assert kept.everything() == before


def test_a_locked_person_can_be_tried_on_a_copy(store: Store) -> None:
    for _ in range(LIMITS.max_failures):
        attempt(store, NO)
    copy = store.in_memory()
    assert attempt(copy, "Ada")
    copy.close()
    assert not attempt(store, NO)


def test_nobody_can_be_unlocked_who_is_not_there(store: Store) -> None:
    attempt(store, NO, None)
    with pytest.raises(Conflict), store.transaction() as change:
        change.unlock(store.person("Nobody").uid)
    assert store.failures() == 1


# --- a row that something else wrote --------------------------------------------------------------

IMPOSSIBLE = {
    "fewer than none": "failures = -1000",
    "more than can be counted": f"failures = {2**63 - 1}",
    "a round before the first": "round = -1",
    "the last round there is": f"round = {2**63 - 1}",
    "a time that never ends": "failed_at_s = 9e999",
    "a time before all times": "failed_at_s = -9e999",
    "a start that never was": "failed_boot_s = -9e999",
    "a start that never ends": "failed_boot_s = 9e999",
    "a time too large to be exact": "failed_at_s = -1e16",
}


@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_row_lets_nobody_try_before_it_is_unlocked(
    store: Store, kept: Keeping, change: str
) -> None:
    for _ in range(LIMITS.max_failures):
        attempt(store, NO)
    kept.change(f"UPDATE tries SET {change}")
    with pytest.raises(SetupProblem) as problem, store.attempt("Ada"):
        pytest.fail("let through")
    assert problem.value.reasons[0].code == "limit.damaged"
    assert problem.value.reasons[0].advice == "an operator can run facauth unlock"
    with store.transaction() as unlocking:
        assert unlocking.unlock(store.person("Ada").uid) is None
    assert attempt(store, "Ada")


@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_row_of_the_person_found_lets_nobody_in(
    store: Store, kept: Keeping, change: str
) -> None:
    attempt(store, NO)
    kept.change(f"UPDATE tries SET {change}")
    with pytest.raises(SetupProblem), store.attempt(None) as begun:
        begun.accept(store.person("Ada").uid)
    assert "signed_in" not in [event.verdict for event in store.events()]


@pytest.mark.parametrize("change", ["failures = 'none'", "failed_at_s = 'never'", "round = x'00'"])
@pytest.mark.sqlite("a database checks types")
def test_a_row_of_other_types_lets_nobody_in(store: Store, kept: Keeping, change: str) -> None:
    """A flipped bit does not ask whether the table is strict."""
    attempt(store, NO)
    change_types(Path(kept.address), f"UPDATE tries SET {change}")
    with pytest.raises(SetupProblem) as problem, store.attempt("Ada"):
        pytest.fail("let through")
    assert problem.value.reasons[0].code == "limit.damaged"  # where it was open before
    with pytest.raises(SetupProblem) as problem, kept.opened():
        pytest.fail("opened")
    assert problem.value.reasons[0].code == "store.damaged"


def stored(kept: Keeping) -> list[tuple[str, int]]:
    """Subject and failures, as another process sees them now."""
    return kept.rows("SELECT subject, failures FROM tries ORDER BY subject")


def uid(kept: Keeping, name: str) -> str:
    ((found,),) = kept.rows(f"SELECT uid FROM people WHERE name = '{name}'")
    return str(found)


# --- many processes -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("speed", "least", "most"), [(1.0, 5, 11), (benchmark.FAST, 11, 101)])
def test_no_try_of_many_processes_gets_past_the_limit(
    tmp_path: Path, engine: str, speed: float, least: int, most: int
) -> None:
    """A smaller run of benchmarks/tries.py, with processes killed by SIGKILL in between."""
    if engine == "postgres":
        required_programs()
    with stores.kept(engine, tmp_path) as store:
        tally = benchmark.hammer(store, 8, 200, 3, speed)
    assert tally.past_the_limit == 0
    assert tally.begun >= 200
    assert tally.killed >= 3
    assert least <= tally.let_through <= tally.counted <= most


def test_the_count_of_tries_past_the_limit_counts() -> None:
    first = [0.0] * 10
    assert benchmark.past_the_limit(first, LIMITS) == 0
    assert benchmark.past_the_limit([*first, 29.0], LIMITS) == 1
    assert benchmark.past_the_limit([*first, 30.0, 89.0], LIMITS) == 1
    assert benchmark.past_the_limit([*first, 30.0, 90.0], LIMITS) == 0
    patient = [*first, *(3600.0 * number for number in range(1, 91))]
    assert benchmark.past_the_limit(patient, LIMITS) == 0
    assert benchmark.past_the_limit([*patient, 1e9], LIMITS) == 1
