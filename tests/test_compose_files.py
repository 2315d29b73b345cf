"""The compose files and the image give each container only the rights that it needs (tests/containers runs them)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
FILES = [ROOT / "compose.yaml", ROOT / ".devcontainer" / "compose.yaml"]
SUDO = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"}  # of the workspace's one command as root


def compose(path: Path) -> dict[str, Any]:
    made: dict[str, Any] = YAML(typ="safe").load(path)
    return made


SERVICES = [
    pytest.param(path, name, service, id=f"{path.parent.name}-{name}")
    for path in FILES
    for name, service in compose(path)["services"].items()
]


@pytest.mark.parametrize(("path", "name", "service"), SERVICES)
def test_no_container_has_a_privilege_or_may_gain_one(path: Path, name: str, service: dict[str, Any]) -> None:
    """Only the workspace, where a person works, has sudo for one command, and may write to its own file system."""
    workspace = name == "workspace"
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) == (SUDO if workspace else set())
    assert ("no-new-privileges:true" in service["security_opt"]) is not workspace
    assert service.get("read_only", False) is not workspace
    assert not service.keys() & {"privileged", "pid", "ipc", "network_mode", "devices", "userns_mode", "cgroup_parent"}
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))
    if not workspace:
        assert str(service["user"]).split(":")[0] not in ("0", "root")


@pytest.mark.parametrize(("path", "name", "service"), SERVICES)
def test_a_container_has_an_end_of_processes_memory_and_cpus(path: Path, name: str, service: dict[str, Any]) -> None:
    """A runaway container stops itself and not the machine. The workspace may have the machine's memory and CPUs."""
    limits = service["deploy"]["resources"]["limits"]
    assert 0 < int(limits["pids"]) <= 4096
    assert name == "workspace" or {"cpus", "memory"} <= limits.keys()


@pytest.mark.parametrize(("path", "name", "service"), SERVICES)
def test_a_port_is_published_on_this_machine_only(path: Path, name: str, service: dict[str, Any]) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


def test_no_two_services_have_one_name_on_the_network_that_both_files_share() -> None:
    """Both have a `db`. Each is reached on its own project's network only, which has no way out."""
    shared: list[str] = []
    for path in FILES:
        made = compose(path)
        for name, service in made["services"].items():
            if "ai-net" in service["networks"]:
                shared.append(name)
        assert made["services"]["db"]["networks"] == ["database"]
        assert made["networks"]["database"] == {"internal": True}
    assert len(shared) == len(set(shared))
    assert "db" not in shared


def test_a_worker_opens_pages_only_where_the_kernel_keeps_them_from_the_network() -> None:
    """And it is not on the network of the notebooks and of the workspace."""
    worker = compose(FILES[0])["services"]["worker"]
    assert worker["environment"]["SAMEBOAT_BROWSER_NAMESPACE"] == "true"
    assert set(worker["networks"]) == {"database", "workers"}
    assert compose(FILES[0])["networks"]["workers"] == {"internal": "${SAMEBOAT_CLOSED:-false}"}


def test_what_an_image_serves_belongs_to_root() -> None:
    """The user that serves owns only the cache and the state, which it writes."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stages = dict(re.findall(r"^FROM \S+ AS (\w[\w-]*)\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL))
    for stage in ("served", "runtime", "worker", "baked"):
        assert "chown" not in stages[stage]
    owned = re.search(r"install -d -o 1000 -g 1000 (.*?) \\", stages["base"])
    assert owned is not None
    assert owned[1].split() == ["/cache", "/state", "/home/sameboat/.cache"]
    for stage in ("served", "worker"):
        assert re.findall(r"^USER (\S+)", stages[stage], re.MULTILINE)[-1] == "1000:1000"


def test_where_a_browser_runs_the_first_process_buries_what_it_leaves() -> None:
    """Chromium's crash handler is an orphan after each page. As zombies they would use up the container's processes."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    worker = text.split(" AS worker\n")[1].split("\nFROM ")[0]
    assert 'ENTRYPOINT ["tini", "--", "sameboat"]\nCMD ["serve"]' in worker  # a new ENTRYPOINT forgets the CMD
    assert compose(FILES[0])["services"]["notebooks"]["init"] is True
    assert compose(FILES[1])["services"]["workspace"]["init"] is True


def test_the_workspace_may_run_one_command_as_root_without_arguments(tmp_path: Path) -> None:
    """Which gives its own volumes to its own user. A link in the place of a volume is left alone."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"NOPASSWD: (.*?)' >", text) == ['/usr/local/sbin/own-volumes ""']
    script = (ROOT / ".devcontainer" / "own-volumes").read_text(encoding="utf-8")
    (tmp_path / "chown").write_text('#!/bin/sh\necho "$@" >> "$CALLED"\n', encoding="ascii")
    (tmp_path / "chown").chmod(0o755)
    (tmp_path / "volume").mkdir()
    (tmp_path / "link").symlink_to("/etc")
    script = re.sub(
        r"for folder in .*; do", f"for folder in {tmp_path}/volume {tmp_path}/link {tmp_path}/none; do", script
    )
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "CALLED": str(tmp_path / "called"),
        "SUDO_UID": "7",
        "SUDO_GID": "8",
    }
    assert subprocess.run(["sh", "-c", script, "sh", "/etc"], env=environment).returncode == 2
    subprocess.run(["sh", "-c", script], env=environment, check=True)
    assert (tmp_path / "called").read_text(encoding="ascii") == f"-RPh 7:8 {tmp_path}/volume\n"
