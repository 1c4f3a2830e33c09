"""What the image speaks to: a Prometheus behind TLS and a name server, both on loopback.

They listen in a network namespace of their own, where port 53 is free and nothing else is reachable.
"""

import fcntl
import json
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse
import urllib.request

PORT = 9443
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
TYPE_A = 1

OPENSSL = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = {names}
"""


def raise_loopback():
    """Brings the loopback interface of a new network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("16sH", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def serve_names(name):
    """A name server that knows one name with one address, 127.0.0.1."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    question = b"".join(bytes([len(label)]) + label.encode() for label in [*name.split("."), ""])

    def answer():
        while True:
            query, sender = server.recvfrom(512)
            (kind,) = struct.unpack_from(">H", query, 12 + len(question)) if query[12:].startswith(question) else (None,)
            asked = query[12 : 12 + len(question) + 4]
            if kind is None:  # no such name; a whole question is sent back as it came
                reply = query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:]
            elif kind == TYPE_A:
                address = struct.pack(">HHHIH4B", 0xC00C, TYPE_A, 1, 60, 4, 127, 0, 0, 1)
                reply = query[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + asked + address
            else:  # the name is there, but not of that kind
                reply = query[:2] + struct.pack(">5H", 0x8180, 1, 0, 0, 0) + asked
            server.sendto(reply, sender)

    threading.Thread(target=answer, daemon=True).start()


def openssl(folder, *arguments):
    run = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def certify(folder, names):
    """Makes an authority (`authority.pem`) and its certificate for the names (`server.pem`)."""
    (folder / "openssl.cnf").write_text(OPENSSL.format(names=",".join(f"DNS:{name}" for name in names)))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "openssl.cnf"]
    openssl(folder, "req", "-x509", *key, "-keyout", "authority.key", "-out", "authority.pem", "-days", "2",
            "-subj", "/CN=an authority for a test", "-extensions", "authority")
    openssl(folder, "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=a receiver")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
            "-CAcreateserial", "-days", "2", "-extfile", "openssl.cnf", "-extensions", "server", "-out", "server.pem")


class Prometheus:
    """A Prometheus that takes remote write over TLS."""

    port = PORT

    def __init__(self, binary, folder, names):
        certify(folder, names)
        (folder / "web.yaml").write_text("tls_server_config: { cert_file: server.pem, key_file: server.key }\n")
        (folder / "prometheus.yaml").write_text("global: { scrape_interval: 1h }\n")
        self.authority_pem = (folder / "authority.pem").read_bytes()
        self.context = ssl.create_default_context(cadata=self.authority_pem.decode())
        self.context.check_hostname = False  # it is asked by its address
        self.log = open(folder / "prometheus.log", "w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [binary, "--config.file=prometheus.yaml", "--web.config.file=web.yaml", "--storage.tsdb.path=data",
             f"--web.listen-address=127.0.0.1:{PORT}", "--web.enable-remote-write-receiver"],
            cwd=folder, stdout=self.log, stderr=self.log,
        )
        end = time.monotonic() + 60
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise AssertionError(f"prometheus does not start: {self.log.read()}")
            time.sleep(0.1)

    def get(self, path):
        with urllib.request.urlopen(f"https://127.0.0.1:{PORT}{path}", timeout=60, context=self.context) as answer:
            return answer.read()

    def ready(self):
        try:
            self.get("/-/ready")
        except OSError:
            return False
        return True

    def stored(self, instance):
        """Time and value of every sample that came of an instance."""
        query = urllib.parse.quote(f'aws_ec2_cpuutilization_average{{dimension_InstanceId="{instance}"}}[1h]')
        result = json.loads(self.get(f"/api/v1/query?query={query}"))["data"]["result"]
        return [(round(at_s * 1000), float(value)) for series in result for at_s, value in series["values"]]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
