"""A container without its runtime: a read-only root, any user id, a scratch folder, no network.

Needs root, for a mount namespace; the user id of the commands has no name and no capabilities.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from support.checkout import BINARIES, ROOT

USER = 12345  # without an entry in /etc/passwd
WRITTEN = ("data", "results", "reports", "logs", "wandb", ".resume", ".snakemake")  # docs/containers.md mounts them
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/dev")


def unavailable() -> str | None:
    """Return why such a container cannot be made here."""
    if sys.platform != "linux" or os.getuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        return "needs root on Linux, unshare and setpriv"
    done = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return "mount is not allowed here" if done.returncode else None


def image_environment() -> dict[str, str]:
    """Return the variables that the Dockerfile sets, with the environment of these tests in place of the image's."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    found = dict(word.split("=", 1) for word in shlex.split(line))
    path = (
        found["PATH"]
        .replace("/opt/sgenet/bin", str(BINARIES))
        .replace("$PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    )
    return {**found, "PATH": path}


def run(
    command: list[str], checkout: Path, scratch: Path, root: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a checkout at /sgenet, of which only the folders `WRITTEN` can be written to.

    Args:
        command: program and arguments.
        checkout: what the image has in /sgenet.
        scratch: an empty folder, which becomes /scratch; the folders `WRITTEN` are in it.
        root: an empty folder, on which the container's root is mounted.
        variables: of the environment, besides those of the image.
    """
    for folder in (scratch, *(scratch / name for name in WRITTEN)):
        folder.mkdir(exist_ok=True)
        os.chown(folder, USER, USER)
    for name in WRITTEN:
        (checkout / name).mkdir(exist_ok=True)
    system = [(path, path) for path in _SYSTEM if Path(path).exists()]
    python = [(str(path), str(path)) for path in {ROOT, Path(sys.base_prefix), Path(sys.prefix)}]
    mounts = [*system, *sorted(python), (str(checkout), "/sgenet"), (str(scratch), "/scratch")]
    mounts += [(str(scratch / name), f"/sgenet/{name}") for name in WRITTEN]
    lines = ["set -e", f"root={shlex.quote(str(root))}", "mount -t tmpfs -o mode=755 none $root"]
    for source, target in mounts:
        place = f'"$root"{shlex.quote(target)}'
        lines += [f"[ -d {place} ] || mkdir -p {place}", f"mount --rbind {shlex.quote(source)} {place}"]
        if not target.startswith(("/scratch", "/dev", "/proc")) and target.removeprefix("/sgenet/") not in WRITTEN:
            lines.append(f"mount -o remount,bind,ro {place}")
    ids = f"--reuid={USER} --regid={USER} --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs"
    lines += [
        'mount -o remount,ro "$root"',
        f'exec chroot "$root" setpriv {ids} sh -c \'cd /sgenet; exec "$@"\' sh {shlex.join(command)}',
    ]
    isolated = ["unshare", "--mount", "--net", "bash", "-c", "\n".join(lines)]
    return subprocess.run(isolated, env=image_environment() | variables, capture_output=True, text=True, timeout=900)
