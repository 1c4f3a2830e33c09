"""Reads an image: its configuration and files for each platform, and what is wrong with them.

The image comes twice from the same build: as an OCI archive, whose format has no health check, and as
a folder in Docker's format, which has one.
"""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

PLATFORMS = {"amd64": "X86-64", "arm64": "AArch64"}  # and what readelf calls them
SIZE_MAX_BYTES = 25_000_000

# All that is in the image, with its mode: nobody but root could write, and nobody is root.
FILES = {
    "etc": 0o755,
    "etc/ssl": 0o755,
    "etc/ssl/certs": 0o755,
    "etc/ssl/certs/ca-certificates.crt": 0o444,
    "sluicegate": 0o555,
}

CONFIG = {
    "User": "65532:65532",
    "Entrypoint": ["/sluicegate"],
    "Cmd": ["serve"],
    "ExposedPorts": {"8080/tcp": {}, "8081/tcp": {}},
    "StopSignal": "SIGTERM",
}

HEALTHCHECK = ["CMD", "/sluicegate", "healthcheck"]


class Image:
    """The image of one platform."""

    def __init__(self, config, layers):
        self.architecture = config["architecture"]
        self.config = config["config"]
        self.layers = layers

    def members(self):
        """Yields the entries of all layers, each with its layer's archive."""
        for layer in self.layers:
            with tarfile.open(fileobj=io.BytesIO(unpacked(layer))) as tar:
                for member in tar:
                    yield member, tar

    def unpack(self, folder):
        """Makes the file system of the image, protected as it says."""
        for member, tar in self.members():
            path = folder / member.name
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.write_bytes(tar.extractfile(member).read())
            path.chmod(member.mode)


def unpacked(layer):
    return gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer


def read(blob, index):
    """The images of an index; `blob` gives the bytes of a digest."""

    def checked(entry):
        content = blob(entry["digest"])
        assert "sha256:" + hashlib.sha256(content).hexdigest() == entry["digest"], entry
        return content

    images = {}
    for entry in index["manifests"]:
        content = json.loads(checked(entry))
        if "manifests" in content:  # an index of an index
            images |= read(blob, content)
            continue
        config = json.loads(checked(content["config"]))
        layers = [checked(layer) for layer in content["layers"]]
        assert config["architecture"] == entry["platform"]["architecture"], entry
        images[config["architecture"]] = Image(config, layers)
    return images


def read_oci(archive):
    with tarfile.open(archive) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
    return read(lambda digest: content["blobs/" + digest.replace(":", "/")], json.loads(content["index.json"]))


def read_docker(folder):
    def blob(digest):
        name = digest.removeprefix("sha256:")
        paths = [folder / name, folder / f"{name}.manifest.json"]
        return next(path for path in paths if path.exists()).read_bytes()

    return read(blob, json.loads((folder / "manifest.json").read_text()))


def binary_faults(path, machine):
    """Whether a file is a static binary for the machine."""
    run = ["readelf", "--wide", "--file-header", "--program-headers", "--dynamic", str(path)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    if f"Machine:" not in said or machine not in said:
        yield f"{path} is not for {machine}"
    if "INTERP" in said or "(NEEDED)" in said:
        yield f"{path} is not static"


def config_faults(image, labels):
    for key, wanted in CONFIG.items():
        if image.config.get(key) != wanted:
            yield f"{key} is {image.config.get(key)}, not {wanted}"
    said = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in image.config.get("Labels", {}).items()
        if name.startswith("org.opencontainers.image.")
    }
    if said != labels:
        yield f"the labels are {said}, not {labels}"


def file_faults(image):
    found = {}
    for member, _ in image.members():
        found[member.name.strip("./")] = member.mode & 0o7777
        if (member.uid, member.gid) != (0, 0):
            yield f"{member.name} belongs to {member.uid}:{member.gid}"
    found.pop("", None)
    if found != FILES:
        yield f"the files are {found}, not {FILES}"


def faults(images, healthy, labels):
    """Everything that is wrong with the images, in words."""
    for kind in (images, healthy):
        if set(kind) != set(PLATFORMS):
            yield f"the platforms are {sorted(kind)}"
    for name, image in images.items():
        size_bytes = sum(len(unpacked(layer)) for layer in image.layers)
        if size_bytes >= SIZE_MAX_BYTES:
            yield f"{name}: {size_bytes} bytes are too many"
        for fault in [*config_faults(image, labels), *file_faults(image)]:
            yield f"{name}: {fault}"
    for name, image in healthy.items():
        check = image.config.get("Healthcheck", {}).get("Test")
        if check != HEALTHCHECK:
            yield f"{name}: the health check is {check}"
        if [layer_digest(one) for one in image.layers] != [layer_digest(one) for one in images[name].layers]:
            yield f"{name}: the two formats hold different files"


def layer_digest(layer):
    return hashlib.sha256(unpacked(layer)).hexdigest()
