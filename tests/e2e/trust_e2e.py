"""Who may do what over TCP: tokens, certificates, names; and text that wants to be code."""
import json
import os
import shutil
import signal
import subprocess
import unittest

from harness import TestCase, serve_job

NULL = """\
apiVersion: rackmark/v1
kind: Job
metadata:
  name: trust
spec:
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    null: {duration: 500ms, samples_per_step: 4}
"""
TOKENS = {"viewer": "v" * 20, "operator": "o" * 20, "worker": "w" * 20}


class Trust(TestCase):
    def secret(self, name, text, mode=0o600):
        path = self.dir / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def tokens(self):
        return self.secret("tokens", "".join(f"{r} {r}-1 {t}\n" for r, t in TOKENS.items()))

    def own(self, role):
        return ["--token-file", self.secret(f"{role}.token", TOKENS[role] + "\n")]

    def serve(self, *args):
        process = self.start("rackmark-coordinator", "--data", self.dir / "data", "--listen",
                             "127.0.0.1:0", *args)
        line = process.wait_line(r"serving 127\.0\.0\.1:\d+", 30)
        return process, ["--coordinator", line.rsplit("serving ", 1)[1].split()[0]]

    def worker(self, name, where, *args):
        return self.start("rackmark-worker", *where, "--name", name, "--data", self.dir / name,
                          "--cpu-slots", 1, *args)

    def stop(self, *processes):
        for process in processes:
            process.signal(signal.SIGTERM)
            process.wait_exit(30)
        self.assert_nothing_left()


class Tokens(Trust):
    def test_a_token_file_that_others_may_read_is_refused(self):
        path = self.secret("tokens", "viewer v " + "v" * 20 + "\n", 0o644)
        process = self.start("rackmark-coordinator", "--data", self.dir / "data", "--listen",
                             "127.0.0.1:0", "--token-file", path)
        self.assertEqual(process.wait_exit(20), 16, process.text())
        self.assertRegex(process.text(), r"chmod 600")

    def test_roles(self):
        coordinator, where = self.serve("--token-file", self.tokens())
        workers = [self.worker(f"n{i}", where, *self.own("worker")) for i in range(2)]
        job = self.write_job(NULL)
        code, text = self.run_cli("nodes", *where)
        self.assertEqual(code, 16, text)
        self.assertIn("--token-file", text)
        wrong = ["--token-file", self.secret("wrong", "x" * 20 + "\n")]
        code, text = self.run_cli("nodes", *where, *wrong)
        self.assertEqual(code, 16, text)
        self.assertIn("token is not in", text)
        for role in ("viewer", "worker"):
            code, text = self.run_cli("submit", job, *where, *self.own(role))
            self.assertEqual(code, 16, text)
            self.assertIn("needs operator", text)
        code, text = self.run_cli("jobs", *where, *self.own("worker"))
        self.assertEqual(code, 16, text)
        code, text = self.run_cli("run", job, *where, *self.own("operator"), "--out",
                                  self.dir / "out", seconds=120)
        self.assertEqual(code, 0, text)
        code, text = self.run_cli("jobs", *where, *self.own("viewer"), "--output", "json")
        self.assertEqual([j["verdict"] for j in json.loads(text)["jobs"]], ["PASS"])
        # A viewer's token makes no worker.
        odd = self.worker("odd", where, *self.own("viewer"))
        odd.wait_line(r"needs worker", 30)
        self.stop(odd, *workers, coordinator)


@unittest.skipUnless(shutil.which("openssl"), "the openssl command is not installed")
class Tls(Trust):
    def openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, cwd=self.dir)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj",
                     f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def certificate(self, name, authority, san):
        (self.dir / f"{name}.ext").write_text(f"subjectAltName={san}\n")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
                     f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey",
                     f"{authority}.key", "-CAcreateserial", "-days", 2, "-extfile", f"{name}.ext",
                     "-out", f"{name}.pem")
        os.chmod(self.dir / f"{name}.key", 0o600)
        return self.files(name)

    def files(self, name, authority="ours"):
        return ["--tls-cert", self.dir / f"{name}.pem", "--tls-key", self.dir / f"{name}.key",
                "--tls-ca", self.dir / f"{authority}.pem"]

    def test_a_job_over_tls_and_who_is_kept_out(self):
        self.authority("ours")
        self.authority("theirs")
        coordinator, where = self.serve(
            *self.certificate("coordinator", "ours", "IP:127.0.0.1,DNS:localhost"),
            "--token-file", self.tokens())
        workers = [self.worker(f"n{i}", where, *self.certificate(f"n{i}", "ours", f"DNS:n{i}"))
                   for i in range(2)]
        person = [*self.certificate("ann", "ours", "DNS:ann"), *self.own("operator")]
        code, text = self.run_cli("run", self.write_job(NULL), *where, *person, "--out",
                                  self.dir / "out", seconds=120)
        self.assertEqual(code, 0, text)
        named = self.worker("n9", where, *self.files("n0"))
        named.wait_line(r"certificate is for n0.*--name n0", 30)
        # Nor does a worker's token replace the name.
        both = self.worker("n8", where, *self.files("n1"), *self.own("worker"))
        both.wait_line(r"certificate is for n1", 30)
        self.certificate("spy", "theirs", "DNS:spy")
        code, text = self.run_cli("nodes", *where, *self.files("spy"), *self.own("viewer"))
        self.assertEqual(code, 12, text)
        code, text = self.run_cli("nodes", *where, *self.own("viewer"))
        self.assertEqual(code, 12, text)
        spy = self.worker("spy", where, *self.files("spy"))
        bare = self.worker("bare", where, *self.own("worker"))
        spy.wait_line(r"(?i)(unavailable|handshake|connect|ended)", 30)
        bare.wait_line(r"(?i)(unavailable|handshake|connect|ended)", 30)
        code, text = self.run_cli("nodes", *where, *person, "--output", "json")
        self.assertEqual(sorted(n["info"]["name"] for n in json.loads(text)["nodes"]), ["n0", "n1"])
        self.stop(spy, bare, named, both, *workers, coordinator)


class HostileText(TestCase):
    def test_no_escape_and_no_tag_comes_out(self):
        tag = "</script><img onerror=1>"
        job = serve_job(duration="1s").replace(
            "  name: e2e\n", f'  name: e2e\n  labels: {{"k": "\\e[31m{tag}"}}\n')
        self.assertIn(tag, job)
        cli = self.run_local(job)
        code = cli.wait_exit(120)
        self.assertNotIn("\x1b", cli.text())
        self.assertEqual(code, 0, cli.text())
        html = (self.dir / "out" / "report.html").read_text()
        self.assertNotIn("\x1b", html)
        self.assertNotIn("<img", html)
        self.assertNotIn(tag, html)
        text = (self.dir / "out" / "report.json").read_text()
        self.assertNotIn("\x1b", text)
        self.assertIn(tag, json.dumps(json.loads(text), ensure_ascii=False))
        self.assert_nothing_left()

    def test_a_name_with_a_tag_is_refused_in_clean_words(self):
        cli = self.run_local(serve_job(duration="1s").replace(
            "  name: e2e\n", '  name: "\\e[31m<img>"\n'))
        self.assertEqual(cli.wait_exit(60), 10, cli.text())
        self.assertNotIn("\x1b", cli.text())
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
