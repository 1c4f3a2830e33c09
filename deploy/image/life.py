"""One life of the image: its files alone as the root, its user, its commands.

Between a sender and a real Prometheus that speaks TLS only, with a certificate of an authority that
stands in the image's own file of authorities and nowhere else. Names are resolved as in a container:
one stands in the `/etc/hosts` and one in the DNS that the runtime hands in.
"""

import base64
import gzip
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

BY_HOSTS, BY_DNS = "by-hosts.test", "by-dns.test"
KEY = "correct horse battery"
AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
PATIENCE_S = 60
DRAIN_S, DELAY_S = 20, 3
VALUE = 42.5

CONFIG = """
server:
  access_keys: [{{ name: test, key: {key} }}]
  request_deadline: {deadline}
  shutdown_delay: {delay}s
  drain_deadline: {drain}s
remote_write:
  - {{ name: hosts, url: "https://{by_hosts}:{port}/api/v1/write" }}
  - {{ name: dns, url: "https://{by_dns}:{port}/api/v1/write" }}
"""


def config(port, deadline="60s"):
    return CONFIG.format(
        key=KEY, deadline=deadline, delay=DELAY_S, drain=DRAIN_S, by_hosts=BY_HOSTS, by_dns=BY_DNS, port=port
    )


def until(done, what):
    """Waits until it is done, which may take as long as a busy machine needs."""
    end = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end, f"in {PATIENCE_S} s not done: {what}"
        time.sleep(0.05)


class Container:
    """What a runtime makes of an image: a root, a user, an environment."""

    def __init__(self, image, healthcheck, root, qemu):
        self.image, self.healthcheck, self.root = image, healthcheck, root
        image.unpack(root)
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.0.1 {BY_HOSTS}\n")
        (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        self.changes_user = can_be_anyone()
        self.prefix = []
        if qemu:
            shutil.copy(qemu, root / "qemu")
            self.prefix = ["/qemu"]

    def trust(self, authority_pem):
        """Adds an authority to those of the image."""
        with open(self.root / AUTHORITIES, "ab") as file:
            file.write(authority_pem)

    def _enter(self):
        os.chroot(self.root)
        os.chdir("/")
        if self.changes_user:
            user, group = map(int, self.image.config["User"].split(":"))
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)

    def start(self, command, environment, **streams):
        path = next(entry for entry in self.image.config["Env"] if entry.startswith("PATH="))
        env = {"PATH": path.removeprefix("PATH="), **environment}
        # A read-only root that belongs to somebody else: nothing can be written anywhere.
        return subprocess.Popen([*self.prefix, *command], env=env, preexec_fn=self._enter, cwd="/", **streams)

    def run(self, command, environment):
        process = self.start(command, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = process.communicate(timeout=PATIENCE_S)[0].decode()
        return process.returncode, said

    def healthy(self, environment, *options):
        status, _ = self.run([*self.healthcheck[1:], *options], environment)
        assert status in (0, 1), f"the health check ended with {status}, which Docker reserves"
        return status == 0


def can_be_anyone():
    """Whether other users exist here: not where an unprivileged user has but one of its own."""
    with open("/proc/self/uid_map") as file:
        return any(int(line.split()[0]) + int(line.split()[2]) > 65532 for line in file)


def body(instance, now_ms):
    """A Firehose request with one data point, as the protocol has it."""
    point = {
        "metric_stream_name": "image", "account_id": "111122223333", "region": "eu-west-1",
        "namespace": "AWS/EC2", "metric_name": "CPUUtilization", "dimensions": {"InstanceId": instance},
        "timestamp": now_ms // 60_000 * 60_000 - 60_000,
        "value": {"count": 1.0, "sum": VALUE, "max": VALUE, "min": VALUE}, "unit": "Percent",
    }
    data = base64.b64encode(json.dumps(point).encode() + b"\n").decode()
    request_id = f"00000000-0000-4000-8000-{now_ms:012d}"
    return request_id, point["timestamp"], {"requestId": request_id, "timestamp": now_ms, "records": [{"data": data}]}


def post(request_id, content):
    """Sends a request as Firehose does; gives status and answer."""
    headers = {
        "Content-Type": "application/json", "Content-Encoding": "gzip",
        "X-Amz-Firehose-Request-Id": request_id, "X-Amz-Firehose-Protocol-Version": "1.0",
        "X-Amz-Firehose-Source-Arn": "arn:aws:firehose:eu-west-1:111122223333:deliverystream/image",
        "X-Amz-Firehose-Access-Key": KEY,
    }
    data = gzip.compress(json.dumps(content).encode())
    request = urllib.request.Request("http://127.0.0.1:8080/firehose", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def live(container, receiver, authority_pem, version):
    """Starts the container, has it do its work and stops it."""
    name = container.image.architecture
    status, said = container.run([*container.image.config["Entrypoint"], "--version"], {})
    assert (status, said) == (0, f"sluicegate {version}\n"), f"--version: {status} {said}"

    untrusting = {"SLUICEGATE_CONFIG_CONTENT": config(receiver.port, "5s")}
    answer = serve(container, untrusting, lambda: post_now(name)[1])
    assert answer[0] == 503, f"an authority that is not in the image was trusted: {answer}"
    print(f"{name}: a receiver with an unknown authority is not trusted: 503", flush=True)

    container.trust(authority_pem)

    def work():
        sent_ms, answer = post_now(name)
        assert answer[0] == 200 and answer[1].keys() == {"requestId", "timestamp"}, answer
        assert receiver.stored(name) == [(sent_ms, VALUE)], f"{receiver.stored(name)} of {sent_ms}"

    serve(container, {"SLUICEGATE_CONFIG_CONTENT": config(receiver.port)}, work)
    print(f"{name}: 200 after the sample was stored over TLS by names from /etc/hosts and DNS", flush=True)
    print(f"{name}: health check 0 while it lives (draining included) and 1 otherwise; SIGTERM ends it with 0", flush=True)


def post_now(instance):
    request_id, timestamp_ms, content = body(instance, time.time_ns() // 1_000_000)
    answer = post(request_id, content)
    if answer[0] == 200:
        assert answer[1]["requestId"] == request_id, answer
    return timestamp_ms, answer


def serve(container, environment, work):
    """Gives what comes of the work while the container serves; stops it as a runtime does."""
    assert not container.healthy(environment), "healthy before it was started"
    command = [*container.image.config["Entrypoint"], *container.image.config["Cmd"]]
    with open(container.root.parent / f"{container.root.name}.log", "w+") as log:
        gateway = container.start(command, environment, stdout=log, stderr=log)
        try:
            until(lambda: gateway.poll() is not None or container.healthy(environment, "--ready"), "starting")
            assert gateway.poll() is None and container.healthy(environment), "not healthy"
            outcome = work()
            began = time.monotonic()
            gateway.send_signal(signal.Signals[container.image.config["StopSignal"]])
            until(lambda: not container.healthy(environment, "--ready"), "draining")
            alive = container.healthy(environment)
            assert alive or gateway.poll() is not None, "ill while draining"
            status = gateway.wait(PATIENCE_S)
            took_s = time.monotonic() - began
            assert status == 0, f"it ended with {status}"
            assert DELAY_S <= took_s < DELAY_S + DRAIN_S, f"it took {took_s:.1f} s to end"
            assert not container.healthy(environment), "healthy after its end"
            return outcome
        except BaseException:
            log.seek(0)
            print(log.read(), flush=True)
            raise
        finally:
            gateway.kill()
            gateway.wait()
