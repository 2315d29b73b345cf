"""The image that is shipped: its parts, how little it needs, and its answers, which are the promoted tokens."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import pytest

from service import settings
from service.engine.local import recipe
from service.evaluation import cases as case_files
from service.evaluation import recording
from service.prompts.library import Library
from tests.containers.engine import docker, running, volume

ROOT = Path(__file__).resolve().parents[2]
NAME, COUNT = "sender", 20
LARGEST_BYTES = 450_000_000
pytestmark = pytest.mark.timeout(600)


def inspected(image: str) -> dict:  # type: ignore[type-arg]
    found: dict = json.loads(docker("image", "inspect", image))[0]  # type: ignore[type-arg]
    return found


def test_it_is_small_and_says_how_it_is_run(image: str) -> None:
    """At most 450 MB, uid 1000, one port, a health check that asks the process and not the model."""
    found = inspected(image)
    assert found["Size"] <= LARGEST_BYTES
    config = found["Config"]
    assert config["User"] == "1000:1000"
    assert list(config["ExposedPorts"]) == ["7860/tcp"]
    assert "/healthz" in " ".join(config["Healthcheck"]["Test"])
    assert config["Entrypoint"] == ["sameboat"]


def test_its_labels_are_what_it_serves(image: str) -> None:
    """The digests in the label are the ones of the prompts and models inside, and of this checkout."""
    label = json.loads(inspected(image)["Config"]["Labels"]["dev.sameboat.digests"])
    inside = json.loads(docker("run", "--rm", "--network", "none", image, "version", "--digests"))
    assert label == inside
    assert label["prompts"] == Library(settings.load().data_dir).digests()
    assert inspected(image)["Config"]["Labels"]["org.opencontainers.image.revision"]


def test_its_code_is_the_code_of_this_checkout(image: str) -> None:
    """Every file of the package, byte for byte, but for those that `.dockerignore` leaves out.

    A package manager's cache once put older code into a new image.
    """
    script = (
        "import hashlib, json, pathlib, service; root = pathlib.Path(service.__file__).parent\n"
        "print(json.dumps({str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()"
        " for path in root.rglob('*') if path.is_file() and path.suffix != '.pyc'}))"
    )
    inside = json.loads(docker("run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", script))
    root = ROOT / "service"
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    left_out = {path for line in lines if line.startswith("service/") for path in ROOT.glob(line)}
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    here = [path for path in files if not left_out.intersection((path, *path.parents))]
    assert inside == {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in here}


def test_no_compiler_no_weights_no_secrets_are_in_it(image: str) -> None:
    """The image holds no tool to build something and no file to leak something."""
    script = (
        "command -v gcc cc g++ c++ uv make git;"
        " find / -xdev \\( -name '*.gguf' -o -name '.env*' -o -name .git \\) 2>/dev/null"
    )
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", f"{script}; true").strip() == ""


def test_who_serves_owns_nothing_of_what_is_served(image: str) -> None:
    """Without --read-only as well: prompts, locks and catalog, code and interpreter belong to root, and can be read."""
    script = (
        "find /app /opt/sameboat -xdev ! -uid 0; find /app /opt/sameboat -xdev ! -readable; touch /app/data/x; true"
    )
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", f"({script}) 2>/dev/null").strip() == ""
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", "test ! -e /app/data/x && id -u").strip() == "1000"


def test_locked_in_it_answers_with_the_recorded_tokens(image: str, models: str) -> None:
    """Read-only, uid 1000, no capabilities, no network but its loopback: twenty cases, token for token as recorded.

    The image has the portable kernels of its machine. If the recording has others, fingerprints differ.
    """
    library = Library(settings.load().data_dir)
    prompt, folder = library[NAME], library.folder(NAME)
    cases = case_files.load(prompt, folder)[:COUNT]
    with running(image, "--network", "none", "--volume", f"{models}:/cache:ro") as container:
        container.ready()
        status = container.sh("cat /proc/1/status")
        assert "Uid:\t1000\t1000\t1000\t1000" in status
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert "Read-only file system" in container.sh("touch /app/x /opt/sameboat/x")
        known = recording.read(folder / "recording.jsonl")
        portable = f"portable {recipe.PORTABLE[platform.machine()][0]}:"
        same_kernels = str(library.lock(NAME).engine_kernels).startswith(portable)
        seen, expected = {}, {}
        for case in cases:
            code, answer = container.ask(
                f"/prompts/{NAME}", {"inputs": case.inputs(prompt)}, x_sameboat_mode="exact", cache_control="no-cache"
            )
            assert code == 200, answer
            seen[case.id] = (answer["text"], answer["tokens"])
            expected[case.id] = (known[case.id].text, list(known[case.id].tokens))
            assert (answer["fingerprint"] == known[case.id].fingerprint) == same_kernels
        assert seen == expected
        assert container.ask("/version")[1]["prompts"] == library.digests()


def test_without_a_network_and_without_a_model_it_says_what_is_missing(image: str) -> None:
    """It ends with uvicorn's start-up code and one sentence with the model and the remedy."""
    with running(image, "--network", "none", "--env", "SAMEBOAT_OFFLINE=1") as container:
        assert container.ended() == 3
        assert "cannot start" in container.logs()
        assert "SAMEBOAT_OFFLINE forbids fetching it" in container.logs()


def test_baked_needs_neither_a_network_nor_a_volume(image: str) -> None:
    """The target for platforms without volumes holds the verified starter model and answers as recorded."""
    baked = image.replace("sameboat", "sameboat-baked", 1)
    if docker("image", "ls", "--quiet", baked).strip() == "":
        pytest.skip(f"no image {baked}: make image TARGET=baked")
    library = Library(settings.load().data_dir)
    prompt, folder = library[NAME], library.folder(NAME)
    case = case_files.load(prompt, folder)[0]
    with running(baked, "--network", "none", "--tmpfs", "/state:uid=1000,gid=1000") as container:
        container.ready()
        code, answer = container.ask(f"/prompts/{NAME}", {"inputs": case.inputs(prompt)}, x_sameboat_mode="exact")
        assert code == 200, answer
        assert answer["tokens"] == list(recording.read(folder / "recording.jsonl")[case.id].tokens)


@pytest.mark.parametrize("place", ["cache", "state"])
def test_a_volume_that_root_made_is_explained(image: str, models: str, place: str) -> None:
    """It cannot use files of another owner. Its message names the owner and a command, and that command repairs it."""
    with volume() as name:
        root = ("--user", "0:0", "--entrypoint", "sh", "--volume", f"{name}:/{place}")
        docker("run", "--rm", *root, image, "-c", f"chown 0:0 /{place} && chmod 755 /{place} && touch /{place}/by-root")
        others = ("--volume", f"{models}:/cache:ro") if place == "state" else ("--tmpfs", "/state:uid=1000,gid=1000")
        options = ("--volume", f"{name}:/{place}", "--env", "SAMEBOAT_SECRET=not-a-real-one-at-all", *others)
        with running(image, *options) as container:
            assert container.ended() == 3
            said = container.logs()
        assert f"/{place}" in said
        assert "belongs to uid 0" in said
        assert f"chown -R 1000:1000 /{place}" in said
        assert "Traceback" not in said
        docker("run", "--rm", *root, image, "-c", f"chown -R 1000:1000 /{place}")
        with running(image, *options) as container:
            container.ready()


def test_limits_decide_threads_and_whether_a_model_fits(image: str, models: str) -> None:
    """A CPU quota is rounded down, a cpuset is counted, a memory limit refuses in numbers before the kernel would."""
    mounted = ("--network", "none", "--volume", f"{models}:/cache:ro")

    def doctor(*options: str) -> dict[str, dict[str, str]]:
        said = docker("run", "--rm", *mounted, *options, image, "doctor", "--json", check=False)
        return {finding["what"]: finding for finding in json.loads(said)}

    one = doctor("--cpus", "1.9", "--memory", "1g")
    assert one["threads"]["found"] == "1: the CPU quota is 1.9, rounded down, of 2 CPUs"
    assert one["memory"]["found"].startswith("1024 MiB: the control group's limit")
    assert one["model"]["level"] == "ok"
    assert doctor("--cpuset-cpus", "0")["threads"]["found"].startswith("1: 1 CPUs in the affinity mask")
    tight = doctor("--memory", "200m")
    assert tight["model"]["level"] == "stop"
    assert "this container may use 200 MiB" in tight["model"]["found"]
    with running(image, *mounted, "--memory", "200m") as container:
        assert container.ended() == 3
        assert "this container may use 200 MiB" in container.logs()
        assert not container.state()["OOMKilled"]
