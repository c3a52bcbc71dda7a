"""A PostgreSQL server of a test's own: the distribution's programs, a temporary folder, a unix socket,
no TCP, and not root, which PostgreSQL refuses. Killed with whatever else the test has started.
"""
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import unittest

from harness import Process


def programs():
    """The folder of the newest installed version, or None."""
    found = [p for p in pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")
             if p.parts[-3].isdigit()]
    return max(found, key=lambda p: int(p.parts[-3])).parent if found else None


class Postgres:
    def __init__(self, test):
        if programs() is None:
            raise unittest.SkipTest("PostgreSQL is not installed (Debian package postgresql)")
        self.test = test
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rm-pg-"))
        test.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.become = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.become = ["setpriv", "--reuid", user.pw_uid, "--regid", user.pw_gid,
                           "--clear-groups"]
        self.run("initdb", "-D", self.folder / "data", "-U", "rackmark", "-A", "trust", "-E", "UTF8",
                 "--locale=C", "--no-sync")
        self.target = f"postgresql:///postgres?host={self.folder}&user=rackmark"
        self.start()

    def run(self, program, *args):
        done = subprocess.run([str(a) for a in (*self.become, programs() / program, *args)],
                              cwd=self.folder, capture_output=True, text=True,
                              env=dict(self.test.env, LC_ALL="C"))
        if done.returncode != 0:
            raise AssertionError(f"{program} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        self.server = Process([*self.become, programs() / "postgres", "-D", self.folder / "data", "-k",
                               self.folder, "-c", "listen_addresses=", "-c", "shared_buffers=16MB"],
                              dict(self.test.env, LC_ALL="C"), self.folder, "postgres")
        self.test._started.append(self.server)
        self.server.wait_line("ready to accept connections", 60)

    def sql(self, text):
        """The rows of a query, as lines."""
        return self.run("psql", "-h", self.folder, "-U", "rackmark", "-d", "postgres", "-Atqc",
                        text).splitlines()
