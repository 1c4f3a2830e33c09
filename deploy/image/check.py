"""Checks a built image: reads what is in it, then starts it in its own file system alone.

Arguments: the OCI archive, the folder in Docker's format, Prometheus, and a folder with
`qemu-MACHINE-static`. Is run in a network namespace of its own by `deploy/image/test`.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import archive
import life
import receiver


def wanted_labels(revision):
    """The labels that belong to what Cargo.toml says."""
    text = (Path(__file__).parents[2] / "Cargo.toml").read_text()
    package = {key: re.search(rf'^{key} = "(.*)"$', text, re.MULTILINE)[1] for key in ("description", "version", "license")}
    return {
        "title": "Sluicegate",
        "description": package["description"],
        "version": package["version"],
        "licenses": package["license"],
        "revision": revision,
        "source": "unknown",
    }


def main(oci, docker, prometheus, qemu, revision):
    images, healthy = archive.read_oci(oci), archive.read_docker(Path(docker))
    labels = wanted_labels(revision)
    faults = list(archive.faults(images, healthy, labels))
    with tempfile.TemporaryDirectory(prefix="sluicegate-image.") as work:
        work = Path(work)
        work.chmod(0o755)  # the image's user has to get through
        containers = []
        for name, machine in archive.PLATFORMS.items():
            root = work / name
            emulator = Path(qemu) / {"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}[name]
            native = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine) == name
            root.mkdir()
            check = healthy[name].config.get("Healthcheck", {}).get("Test", archive.HEALTHCHECK)
            containers.append(life.Container(images[name], check, root, None if native else emulator))
            faults += archive.binary_faults(root / "sluicegate", machine)
            binary_bytes = (root / "sluicegate").stat().st_size
            packed_bytes = sum(map(len, images[name].layers))
            print(f"{name}: binary {binary_bytes / 1e6:.1f} MB, compressed layers {packed_bytes / 1e6:.1f} MB")
        if faults:
            sys.exit("\n".join(faults))
        print("both platforms: static; files, user, commands, ports, labels and health check are as wanted")
        if not life.can_be_anyone():
            print("NOT CHECKED: the image's user; in an unprivileged user's namespace there is but root")
        receiver.raise_loopback()
        receiver.serve_names(life.BY_DNS)
        folder = work / "prometheus"
        folder.mkdir()
        server = receiver.Prometheus(prometheus, folder, [life.BY_HOSTS, life.BY_DNS])
        try:
            for container in containers:
                life.live(container, server, server.authority_pem, labels["version"])
        finally:
            server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
