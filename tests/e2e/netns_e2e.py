"""Three hosts as network namespaces on one bridge: a rate limit, a partition, loss and delay.

SKIPPED, with the reason, where this machine does not allow namespaces.
"""
import os
import shutil
import subprocess
import sys
import unittest

from cluster import Cluster, VERDICTS
from harness import BIN, Process, SOURCE, serve_job
from proxy import MARK

HOSTS = ("a", "b", "c")
ADDRESS = {host: f"10.77.0.{index}" for index, host in enumerate(HOSTS, 1)}
TIMES = {"sync-interval": "1s", "suspect-after": "5s", "lost-after": "10s", "fence-after": "14s",
         "release-after": "18s"}
OPERATOR = "o" * 20

NULL = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: namespaces}
spec:
  gang: {devices: 3, per_node: 1, device: cpu}
  workload:
    null: {duration: %s}
  limits: {attempts: 1}
"""


def few_tokens():
    """Requests that end within the grace of their window however slow a step is here."""
    return serve_job(rate="1/s", duration="4s", warmup="100ms").replace(
        "output_tokens: {min: 4, max: 16}", "output_tokens: {min: 2, max: 3}")


def command(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, argv))}: {done.stderr.strip()}")
    return done.stdout


class Net:
    """A bridge in a namespace of its own, and a namespace for each host, 10.77.0.1 and on."""

    def __init__(self):
        self.mark = f"rm{os.getpid()}"
        self.made = []
        self.proxies = []

    def name(self, host):
        return f"{self.mark}-{host}"

    def inside(self, host, *argv):
        return command("ip", "netns", "exec", self.name(host), *argv)

    def open(self):
        for host in ("hub", *HOSTS):
            command("ip", "netns", "add", self.name(host))
            self.made.append(host)
        self.inside("hub", "ip", "link", "add", "br0", "type", "bridge")
        self.inside("hub", "ip", "link", "set", "br0", "up")
        for host in HOSTS:
            self.inside("hub", "ip", "link", "add", f"to-{host}", "type", "veth", "peer", "name",
                        "eth0", "netns", self.name(host))
            self.inside("hub", "ip", "link", "set", f"to-{host}", "master", "br0", "up")
            self.inside(host, "ip", "address", "add", f"{ADDRESS[host]}/24", "dev", "eth0")
            self.inside(host, "ip", "link", "set", "lo", "up")
            self.inside(host, "ip", "link", "set", "eth0", "up")

    def limit_rate(self, rate):
        for host in HOSTS:
            self.inside(host, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate,
                        "burst", "64kb", "latency", "200ms")

    def rule(self, host, rule):
        """Drops what matches and comes in over the network, until heal()."""
        self.inside(host, "nft", "add", "table", "inet", "test")
        self.inside(host, "nft", "add", "chain", "inet", "test", "in",
                    "{ type filter hook input priority 0; }")
        self.inside(host, "nft", "add", "rule", "inet", "test", "in", "iifname", "eth0",
                    *rule.split())

    def partition(self, host):
        """Nothing comes in and nothing goes out."""
        self.rule(host, "drop")
        self.inside(host, "nft", "add", "chain", "inet", "test", "out",
                    "{ type filter hook output priority 0; }")
        self.inside(host, "nft", "add", "rule", "inet", "test", "out", "oifname", "eth0", "drop")

    def delay(self, host, peer, seconds):
        """What `host` connects to on `peer` goes through a proxy of ours, both ways so much later."""
        proxy = subprocess.Popen(["ip", "netns", "exec", self.name(host), sys.executable,
                                  SOURCE / "tests/e2e/proxy.py", "127.0.0.1:7000", "original"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.proxies.append(proxy)
        proxy.stdout.readline()
        proxy.stdin.write(f"delay {seconds}\n")
        proxy.stdin.flush()
        if proxy.stdout.readline() != "ok\n":
            raise OSError("the proxy does not delay")
        self.inside(host, "nft", "add", "table", "ip", "slow")
        self.inside(host, "nft", "add", "chain", "ip", "slow", "out",
                    "{ type nat hook output priority -100; }")
        self.inside(host, "nft", "add", "rule", "ip", "slow", "out", "ip", "daddr", ADDRESS[peer],
                    "meta", "l4proto", "tcp", "meta", "mark", "!=", hex(MARK), "redirect", "to",
                    ":7000")

    def heal(self, host):
        self.inside(host, "nft", "delete", "table", "inet", "test")

    def close(self):
        for proxy in self.proxies:
            proxy.kill()
            proxy.communicate()
        for host in reversed(self.made):
            subprocess.run(["ip", "netns", "delete", self.name(host)], capture_output=True)


def missing():
    """Why this machine cannot run these tests; empty if it can."""
    for program in ("ip", "tc", "nft", "openssl"):
        if shutil.which(program) is None:
            return f"the command {program} is not installed"
    net = Net()
    try:
        net.open()
        net.limit_rate("100mbit")
        net.partition("a")
        net.heal("a")
        net.rule("a", "meta l4proto tcp numgen random mod 100 < 3 drop")
        net.delay("a", "b", 0.001)
    except OSError as why:
        return f"network namespaces are not allowed here: {why}"
    finally:
        net.close()
    return ""


class NetCluster(Cluster):
    """The coordinator on host a, a worker on each host, TLS between them."""

    def __init__(self, net):
        super().__init__(times=TIMES)
        self.net = net

    def start_in(self, host, program, *args):
        argv = ["ip", "netns", "exec", self.net.name(host), BIN / program, *args]
        process = Process(argv, self.env, self.dir, f"{program} on {host}")
        self._started.append(process)
        return process

    def open(self, workers=HOSTS):
        self.setUp()
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=ca",
                     "-keyout", "ca.key", "-out", "ca.pem")
        times = [word for name, value in self.times.items() for word in (f"--{name}", value)]
        tokens = self.secret("tokens", f"operator o {OPERATOR}\n")
        self.coordinator = self.start_in(
            "a", "rackmark-coordinator", "--data", self.dir / "data", "--listen", "10.77.0.1:7700",
            *self.certificate("coordinator", "IP:10.77.0.1"), "--token-file", tokens, *times)
        self.coordinator.wait_line(r"serving ", 60)
        self.endpoint = "10.77.0.1:7700"
        self.credentials["operator"] = [
            *self.certificate("ann", "DNS:ann"),
            "--token-file", self.secret("ann.token", OPERATOR + "\n")]
        for host in workers:
            self.workers[host] = self.start_in(
                host, "rackmark-worker", "--coordinator", self.endpoint, "--name", host, "--data",
                self.dir / host, "--cpu-slots", 1, "--host-id", f"host-{host}", "--interface",
                "eth0", *self.certificate(host, f"DNS:{host}"))
        self.wait_joined(len(workers))
        return self

    def openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, cwd=self.dir)

    def certificate(self, name, san):
        (self.dir / f"{name}.ext").write_text(f"subjectAltName={san}\n")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
                     f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                     "-CAcreateserial", "-days", 2, "-extfile", f"{name}.ext", "-out",
                     f"{name}.pem")
        os.chmod(self.dir / f"{name}.key", 0o600)
        return ["--tls-cert", self.dir / f"{name}.pem", "--tls-key", self.dir / f"{name}.key",
                "--tls-ca", self.dir / "ca.pem"]

    def run_job(self, text):
        return self.start_in("a", "rackmark", "run", self.write_job(text), *self.where, "--out",
                             self.dir / "out")


WHY_NOT = missing()


@unittest.skipIf(WHY_NOT, WHY_NOT)
class Namespaces(unittest.TestCase):
    def setUp(self):
        self.net = Net()
        self.addCleanup(self.net.close)
        self.net.open()
        self.cluster = NetCluster(self.net)
        self.addCleanup(self.cluster.close)

    def passes(self, job):
        cli = self.cluster.run_job(job)
        self.assertEqual(cli.wait_exit(240), 0, cli.text() + self.cluster.story())
        run = self.cluster.report()["runs"][0]
        self.assertEqual(run["verdict"], "PASS")
        return run

    def assert_verified_over_gloo(self, run):
        self.assertEqual({c["transport"] for c in run["collectives"]}, {"gloo"})
        self.assertIn("Gloo over eth0", run["transports"][0])
        verified = [c for c in run["checks"] if c["name"] == "wrong tokens"]
        self.assertTrue(verified, run["checks"])
        self.assertEqual({c["verdict"] for c in verified}, {"PASS"})

    def test_two_hosts_serve_at_a_limited_rate(self):
        self.net.limit_rate("50mbit")
        self.cluster.open(workers=("b", "c"))
        self.assert_verified_over_gloo(self.passes(serve_job(rate="3/s")))
        self.cluster.stop_all()

    def test_loss_of_3_percent_costs_time_only(self):
        self.cluster.open(workers=("b", "c"))
        for host in ("b", "c"):
            self.net.rule(host, "meta l4proto tcp numgen random mod 100 < 3 drop")
        self.assert_verified_over_gloo(self.passes(
            few_tokens()))
        self.cluster.stop_all()

    def test_a_delay_is_seen_in_every_collective(self):
        delay = 0.001
        self.net.delay("b", "c", delay)
        self.net.delay("c", "b", delay)
        self.cluster.open(workers=("b", "c"))
        run = self.passes(few_tokens())
        self.assert_verified_over_gloo(run)
        for c in run["collectives"]:
            # A rank asks for each message, and gets it: there and back is the least that is possible.
            self.assertGreater((c["transfer_s"] + c["wait_s"]) / c["count"], 2 * delay, c)
        self.cluster.stop_all()

    def test_a_partition_ends_the_run_with_its_node_to_blame_and_heals(self):
        self.cluster.open()
        cli = self.cluster.run_job(NULL % "60s")
        self.cluster.wait(lambda: [k for k in self.cluster.chunks() if k[3] == 2],
                          "an acked chunk of rank 2")
        ranks = {h: self.cluster.rank_of(h) for h in HOSTS}
        self.assertNotIn(None, ranks.values())
        self.net.partition("c")
        ended = self.cluster.wait_event("JobEnded")
        story = self.cluster.story()
        self.assertEqual(VERDICTS[ended.fields[2]], "ERROR", story)
        causes = [e.failure for e in self.cluster.events() if e.name == "RunJudging" and e.failure]
        self.assertEqual([(f["kind"], f["node"]) for f in causes], [("NODE_LOST", "c")], story)
        self.assertNotEqual(cli.wait_exit(60), 0)
        # The one that was cut off ends its ranks by itself, before anybody could tell it to.
        self.cluster.wait(lambda: not self.cluster.alive("rackmark-rank"), "the ranks to end")
        self.net.heal("c")
        up = sum(e.name == "NodeChanged" and e.fields[2] == 1 for e in self.cluster.events())
        self.cluster.wait(lambda: sum(e.name == "NodeChanged" and e.fields[2] == 1
                                      for e in self.cluster.events()) > up or
                          sum(e.name == "NodeJoined" for e in self.cluster.events()) > len(HOSTS),
                          "node c to be back")
        run = self.passes(NULL % "1s")
        self.assertEqual({r["node"] for r in run["ranks"]}, set(HOSTS))
        self.cluster.stop_all()


if __name__ == "__main__":
    unittest.main()
