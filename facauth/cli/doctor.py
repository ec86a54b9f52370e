"""doctor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from facauth.cli.bound import policy_of, rate_of, store_path
from facauth.cli.options import Call, Fmr, Policy
from facauth.cli.output import answering
from facauth.cli.settings_file import Configuration, configuration
from facauth.cli.tables import lines
from facauth.defaults import config_file, default_key_file
from facauth.errors import ExitCode, shown


def doctor(call: Call, fmr: Fmr = None, policy: Policy = None) -> None:
    """Check this installation: packages, weights, store, settings, and a self-test on samples.

    Shows each setting and its source. Precedence: command-line flag, environment variable, settings
    file, default.

    Example: facauth doctor --json
    """
    with answering(call, "checks", "settings") as answer:
        from facauth.doctor import examine

        settings = list(settings_in_force(call, fmr, policy))
        answer.more["settings"] = [asdict(setting) for setting in settings]
        findings = list(examine(store_path(call)))
        answer.more["checks"] = [asdict(finding) for finding in findings]
        good = all(finding.ok for finding in findings)
        answer.verdict = "healthy" if good else "unhealthy"
        answer.exit_code = ExitCode.OK if good else ExitCode.SETUP
        rows = [
            ("ok" if finding.ok else "BAD", finding.check, finding.detail, finding.advice)
            for finding in findings
        ]
        rows.append(("ok", "settings file", file_in_force(), ""))
        rows += [
            ("ok", f"setting {setting.key}", f"{setting.text} ({setting.origin})", "")
            for setting in settings
        ]
        answer.lines += lines(("", "Check", "Result", "Advice"), rows)


def file_in_force() -> str:
    """The settings file, or its place if there is none."""
    path = configuration().path
    return shown(path) if path else f"none; its place is {_printable(config_file())}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    key: str
    value: str | float | None
    origin: str  # flag, environment, the line of the file, or default

    @property
    def text(self) -> str:
        """The value for people."""
        if self.key == "fmr":
            return default_rates() if self.value is None else f"{self.value:g}"
        return str(self.value or "")


def default_rates() -> str:
    """The rates without a setting."""
    from facauth.settings import RATES

    return f"{RATES.verify_fmr:g} with --as, {RATES.identify_fpir:g} without"


def settings_in_force(call: Call, fmr: Fmr, policy: Policy) -> Iterator[Setting]:
    """Every setting in force; raises UsageProblem for an impossible one."""
    from facauth.settings import asked_rate

    file = configuration()
    rate = rate_of(fmr)
    yield Setting("store", shown(store_path(call)), origin(call, "store", file))
    key_file = call.key_file or file.key_file or default_key_file()
    yield Setting("key_file", _printable(key_file), origin(call, "key_file", file))
    rate = None if rate is None else asked_rate(rate, claimed=True)
    yield Setting("fmr", rate, origin(call, "fmr", file))
    required = policy_of(policy).challenge_required
    yield Setting("camera", "required" if required else "preferred", origin(call, "camera", file))
    chosen = policy_of(policy).name
    yield Setting("spoof_policy", chosen, origin(call, "spoof_policy", file, option="policy"))


def origin(call: Call, key: str, file: Configuration, option: str = "") -> str:
    """The source of a setting."""
    given = call.origin(option or key)
    if given == "COMMANDLINE":
        return "flag"
    if given == "ENVIRONMENT":
        return f"environment, FACAUTH_{key.upper()}"
    if key in file.lines:
        return f"{shown(file.path)}, line {file.lines[key]}"
    return "default"


def _printable(path: object) -> str | None:
    return None if path is None else shown(path)
