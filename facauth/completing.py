"""What a shell may complete; answers without importing the command line, so that it is fast.

completion.json holds the commands and options; docs/generate.py writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TREE = Path(__file__).with_name("completion.json")
COMMAND = "__complete"  # facauth __complete SHELL WORD...
FILES = ":files"  # the shell completes files itself
MAX_NAMES = 1000
MAX_SETTINGS_BYTES = 2**20
NAME, FILE = "name", "file"  # kinds of a value; others are a list of choices, or null

Candidate = tuple[str, str]  # the word, and what it means


@dataclass(slots=True)
class Typed:
    """The words before the one to complete, as far as they decide about it."""

    tree: dict[str, Any]
    command: str = ""
    arguments: int = 0  # given so far
    wants: Any = None  # the kind of value of the option that comes last; False: there is none
    store: str | None = None
    plain: bool = False  # after --

    def read(self, words: Sequence[str]) -> None:
        """Follow the words."""
        self.wants, option = False, ""
        for word in words:
            if self.wants is not False:
                self.store = word if option == "--store" else self.store
                self.wants = False
            elif word == "--" and not self.plain:
                self.plain = True
            elif word.startswith("-") and len(word) > 1 and not self.plain:
                option, _, value = word.partition("=")
                self.store = value if option == "--store" and value else self.store
                kind = self.options().get(option, [None, "", False])
                self.wants = kind[0] if kind[2] and not value else False
            else:
                self._word(word)

    def _word(self, word: str) -> None:
        path = f"{self.command} {word}".strip()
        if path in self.tree:
            self.command = path
        else:
            self.arguments += 1

    def options(self) -> dict[str, Any]:
        """Option -> kind of its value, help, whether it has a value."""
        own: dict[str, Any] = self.tree[self.command]["options"]
        return own

    def value(self) -> Any:
        """The kind of the next argument."""
        kinds = self.tree[self.command]["arguments"]
        last = min(self.arguments, len(kinds) - 1)
        many = self.tree[self.command]["many"]
        return kinds[last] if kinds and (many or self.arguments < len(kinds)) else None


def commands_of(group: str) -> dict[str, str]:
    """The commands of a group, each with the first sentence of its help; "": of the program."""
    found: dict[str, str] = json.loads(TREE.read_bytes())[group]["commands"]
    return found


def candidates(words: Sequence[str]) -> Iterator[Candidate]:
    """What the last word may become."""
    typed, word = Typed(json.loads(TREE.read_bytes())), words[-1] if words else ""
    typed.read(words[:-1])
    kind: Any = typed.wants
    if kind is False:
        if word.startswith("-") and not typed.plain:
            option, equals, value = word.partition("=")
            if not equals:
                yield from _begun(((o, h) for o, (_, h, _) in typed.options().items()), word)
                return
            known = typed.options().get(option, [None, "", False])
            for found, about in _values(known[0], typed, value):
                yield f"{option}={found}" if found != FILES else found, about
            return
        commands = typed.tree[typed.command]["commands"]
        if commands:
            yield from _begun(commands.items(), word)
            return
        kind = typed.value()
    yield from _values(kind, typed, word)


def _values(kind: Any, typed: Typed, word: str) -> Iterator[Candidate]:
    kinds = kind if isinstance(kind, list) else [kind]
    for each in kinds:
        if each == NAME:
            yield from _begun(((name, "") for name in names(typed.store)), word)
        elif each == FILE:
            yield FILES, ""
        elif each is not None:
            yield from _begun([(each, "")], word)


def _begun(found: Any, word: str) -> Iterator[Candidate]:
    key = word.casefold()
    yield from ((each, about) for each, about in found if each.casefold().startswith(key))


def names(store: str | None) -> list[str]:
    """The enrolled names; none of a store that is encrypted, or that cannot be read at once."""
    found = list[str]()
    with suppress(Exception):  # whatever is wrong, there is nothing to complete
        from facauth.store.store import Store

        with Store.open(_path(store)) as opened:
            if opened.lock() is None:
                found = [row.name for row in opened.people()]
    return [name for name in found if name.isprintable()][:MAX_NAMES]


def _path(store: str | None) -> Path:
    """As for a command: flag, environment, settings file, default."""
    import os

    from facauth.defaults import config_file, default_store
    from facauth.files import read_trusted
    from facauth.places import place_of

    named = store or os.environ.get("FACAUTH_STORE")
    settings = config_file()
    if not named and settings and settings.exists():
        import tomllib

        named = tomllib.loads(read_trusted(settings, MAX_SETTINGS_BYTES).decode()).get("store")
    place = place_of(named) if named else default_store()
    if not isinstance(place, Path):
        raise TypeError  # a database answers too late for a key press, and is encrypted
    return place.expanduser()


# --- shells --------------------------------------------------------------------------------------


def answer(shell: str, words: Sequence[str]) -> str:
    """The lines for a shell's script; see SCRIPTS."""
    last = words[-1] if words else ""
    words = [_unquoted(word) for word in words]
    lines = []
    for word, about in candidates(words):
        if shell == "bash":  # zsh and fish escape words themselves
            lines.append(word if word == FILES else _escaped(word, last[:1]))
        else:
            lines.append(f"{word}\t{about}")
    return "".join(f"{line}\n" for line in lines)


def _unquoted(word: str) -> str:
    """A word as it is typed, which may be unfinished, without its quotes."""
    import shlex

    for end in ("", '"', "'"):
        with suppress(ValueError):
            return " ".join(shlex.split(word + end))  # fish takes some quotes away
    return word


def _escaped(word: str, quote: str) -> str:
    """A word as it stands after this quote: a name must never be run as a command."""
    if quote == "'":
        return word.replace("'", r"'\''")
    if quote == '"':  # within it, a backslash before ! would stay
        kept = "".join(f"\\{char}" if char in '\\"$`' else char for char in word)
        return kept.replace("!", "\"'!'\"")
    return "".join(char if char.isalnum() or char in "-_=./:@%+," else f"\\{char}" for char in word)


BASH = """\
_facauth() {
    local line IFS=$'\\n'
    COMPREPLY=()
    while IFS= read -r line; do  # $(...) would take a * in a name for files
        COMPREPLY+=("$line")
    done < <(facauth __complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    local last=$((${#COMPREPLY[@]} - 1))
    if ((last >= 0)) && [[ ${COMPREPLY[last]} == :files ]]; then
        unset "COMPREPLY[last]"
        compopt -o default -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
    fi
}
complete -F _facauth facauth
"""
ZSH = """\
#compdef facauth
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_facauth() {
    local line files=0
    local -a found told
    while IFS= read -r line; do
        if [[ $line == :files* ]]; then
            files=1
        else
            found+=("${line%%$'\\t'*}")
            told+=("${line%%$'\\t'*}  ${line#*$'\\t'}")
        fi
    done < <(facauth __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( $#found )) && compadd -l -d told -a found
    (( files )) && _files
}
compdef _facauth facauth
"""
FISH = """\
function __facauth_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (facauth __complete fish $words[2..] 2>/dev/null)
        if string match -q ':files*' -- $line
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c facauth -f -a '(__facauth_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def main(arguments: Sequence[str]) -> None:
    """`facauth __complete SHELL WORD...`; prints nothing for anything unforeseen."""
    with suppress(Exception):
        sys.stdout.write(answer(arguments[0], arguments[1:]))
        sys.stdout.flush()
