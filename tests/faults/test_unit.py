"""The unit of the README lets the service write to its folder, speak over the network, no more."""

import re
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
# Each as it must stand there; what is missing here may be said freely.
SANDBOX = {
    "UMask": ["0077"],
    "NoNewPrivileges": ["yes"],
    "ProtectSystem": ["strict"],
    "ReadWritePaths": ["/opt/resonance-zoom/var"],
    "ProtectHome": ["yes"],
    "PrivateTmp": ["yes"],
    "PrivateDevices": ["yes"],
    "PrivateUsers": ["yes"],
    "ProtectProc": ["invisible"],
    "ProcSubset": ["pid"],
    "ProtectClock": ["yes"],
    "ProtectHostname": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "ProtectControlGroups": ["yes"],
    "CapabilityBoundingSet": [""],
    "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"],
    "RestrictNamespaces": ["yes"],
    "RestrictRealtime": ["yes"],
    "RestrictSUIDSGID": ["yes"],
    "LockPersonality": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "RemoveIPC": ["yes"],
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "MemoryMax": ["512M"],
    "LimitCORE": ["0"],
}


def unit() -> str:
    (found,) = re.findall(r"```ini\n(.*?)```", README, re.DOTALL)
    return str(found)


def said() -> dict[str, list[str]]:
    """What stands under [Service]; a name that stands twice adds to what it said."""
    found: dict[str, list[str]] = {}
    for line in unit().partition("[Service]\n")[2].partition("\n[")[0].splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_sandbox_is_the_one_that_was_measured() -> None:
    """1.2 of 10 by systemd 252, where 9.6 is a service without any of it."""
    assert {name: value for name, value in said().items() if name in SANDBOX} == SANDBOX


def test_no_line_of_it_takes_back_what_another_one_forbids() -> None:
    loose = {"AmbientCapabilities", "BindPaths", "ExecStartPre", "PermissionsStartOnly", "Group"}
    assert said()["User"] == ["resonance"]
    assert not loose & said().keys()
    (start,) = said()["ExecStart"]
    assert re.fullmatch(r"/opt/[\w/.-]+ run", start)  # no + or ! before it, no secret behind it


def test_systemd_itself_calls_it_safe_where_it_can_be_asked(tmp_path: Path) -> None:
    """At most 2.0; where there is no systemd, the list above is what is left to hold it to."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return
    file = tmp_path / "resonance-zoom.service"
    file.write_text(unit(), encoding="utf-8")
    told = subprocess.run(  # noqa: S603 — our own words
        [program, "security", "--offline=true", "--threshold=20", "--no-pager", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in told.stderr:  # before systemd 250
        return
    assert told.returncode == 0, told.stdout + told.stderr
    exposure = re.search(r"Overall exposure level .*: ([0-9.]+)", told.stdout)
    assert exposure is not None
    assert float(exposure[1]) <= 2.0
