"""The failure matrix: each process struck in each phase of a run, and what must come of it.

A `null` job holds the phase (job.proto, Hold) in its first attempt; the test sees it there, strikes,
and compares what the event log then says with the one table below. After every cell: no chunk that
was acked is lost, no process and no name in /dev/shm is left, no device is booked.

Strikes: `kill` is kill -9, and what died is started again; `pause` is SIGSTOP, and SIGCONT before any
limit of silence has passed; `freeze` is SIGSTOP until the limit has: a frozen coordinator until the
workers have fenced themselves, a worker until it is LOST, a rank until its daemon has ended it, a CLI
until the job is over.
"""
import concurrent.futures
import os
import re
import signal
import time
import unittest

from cluster import FENCE_SECONDS, VERDICTS, Cluster, outlives, wait_gone
from harness import serve_job

PHASES = ["placed", "starting", "rendezvous", "preparing", "measuring", "verifying", "draining",
          "judging"]
VICTIMS = ["coordinator", "worker", "rank", "cli", "worker0", "rank0"]
STRIKES = ["kill", "pause", "freeze"]

# "worker" and "rank" are w1 and its rank 1; "worker0" and "rank0" are w0 and its rank 0, which makes
# the segment, plans the steps and leads. Each cell: the attempts that the run needed, and why the
# first one, or the first lease, failed: None, or (kind, who is blamed). All end in PASS.
FINE = (1, None)


def setup(kind, blame):
    """The lease fails before the run ever started: the second lease runs attempt 1."""
    return (1, (kind, blame))


def again(kind, blame):
    return (2, (kind, blame))


NODE, RANK, NOBODY = "w1", ("w1", 1), ""
NODE0, RANK0 = "w0", ("w0", 0)
# No rank can be struck while its lease is only placed: no worker has been told, so none lives.
IMPOSSIBLE = None
TABLE = {
    # (victim, strike): placed, starting, rendezvous | preparing, measuring, verifying | draining, judging
    ("coordinator", "kill"): [FINE] * 8,
    ("coordinator", "pause"): [FINE] * 8,
    ("coordinator", "freeze"): [FINE] + [setup("FENCED", NOBODY)] * 2 + [again("FENCED", NOBODY)] * 3
                               + [FINE] * 2,
    ("worker", "kill"): [setup("NODE_RESTARTED", NODE)] * 3 + [again("NODE_RESTARTED", NODE)] * 4
                        + [FINE],
    ("worker", "pause"): [FINE] * 8,
    ("worker", "freeze"): [setup("NODE_LOST", NODE)] * 3 + [again("NODE_LOST", NODE)] * 4 + [FINE],
    # In judging they have all been told to end.
    ("rank", "kill"): [IMPOSSIBLE] + [setup("RANK_DIED", RANK)] * 2 + [again("RANK_DIED", RANK)] * 3
                      + [FINE] * 2,
    ("rank", "pause"): [IMPOSSIBLE] + [FINE] * 7,
    ("rank", "freeze"): [IMPOSSIBLE] + [setup("RANK_FAILED", RANK)] * 2 + [again("RANK_FAILED", RANK)] * 3
                        + [FINE] * 2,
    ("cli", "kill"): [FINE] * 8,
    ("cli", "pause"): [FINE] * 8,
    ("cli", "freeze"): [FINE] * 8,
    # A pause of these is that of the others: nothing ends, and nobody can tell them apart.
    ("worker0", "kill"): [setup("NODE_RESTARTED", NODE0)] * 3 + [again("NODE_RESTARTED", NODE0)] * 4
                         + [FINE],
    ("worker0", "freeze"): [setup("NODE_LOST", NODE0)] * 3 + [again("NODE_LOST", NODE0)] * 4 + [FINE],
    ("rank0", "kill"): [IMPOSSIBLE] + [setup("RANK_DIED", RANK0)] * 2
                       + [again("RANK_DIED", RANK0)] * 3 + [FINE] * 2,
    ("rank0", "freeze"): [IMPOSSIBLE] + [setup("RANK_FAILED", RANK0)] * 2
                         + [again("RANK_FAILED", RANK0)] * 3 + [FINE] * 2,
}

# A cell whose first attempt fails is never held twice, so its hold may be long. One that survives
# waits for its end.
LONG_HOLD, SHORT_HOLD = 60, 4

JOB = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: matrix}
spec:
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    null:
      duration: 300ms
      hold: {phase: %s, for: %ds}
"""


class TooLate(Exception):
    """The phase may have been over when the strike came: nothing was tested."""


class Cell:
    def __init__(self, victim, phase, strike):
        self.victim, self.phase, self.strike = victim, phase, strike
        self.node = "w0" if victim.endswith("0") else "w1"
        self.attempts, self.failure = TABLE[victim, strike][PHASES.index(phase)]
        # A rank that is DONE may be frozen, and ended for it, while its run is drained.
        outlasts = (phase, strike) == ("draining", "freeze") and victim.startswith("rank")
        self.hold = LONG_HOLD if self.failure else 2 * FENCE_SECONDS if outlasts else SHORT_HOLD

    def __str__(self):
        return f"{self.victim} {self.phase} {self.strike}"

    def run(self):
        for _ in range(3):
            cluster = Cluster()
            try:
                self.open(cluster)
                return self.play(cluster)
            except TooLate:
                continue
            finally:
                cluster.close()
        raise AssertionError("three times the machine was too slow to strike within the hold")

    def open(self, cluster):
        cluster.open()

    def job(self):
        return JOB % (self.phase, self.hold)

    def play(self, cluster):
        self.cluster = cluster
        self.began = time.monotonic()
        self.cli = cluster.run_job(self.job())
        self.await_phase()
        acked = cluster.chunks()
        names = cluster.segments_of_ranks()
        getattr(self, "strike_" + self.victim.rstrip("0"))()
        self.check_end(acked, names)

    def await_phase(self):
        """Until people can see the hold; `began` is then when it was not there yet."""
        word = "held in " + self.phase.upper()

        def seen():
            asked = time.monotonic()
            for run in self.cluster.runs():
                if run.get("note") == word:
                    return True
            self.began = asked
            return False

        self.cluster.wait_event("LeasePlaced")
        self.cluster.wait(seen, word)
        if self.phase == "measuring":
            self.cluster.wait(self.cluster.chunks, "an acked chunk")
        if self.phase == "starting":
            self.cluster.wait(lambda: self.cluster.rank_of(self.node), "the rank's process")

    def struck(self):
        if time.monotonic() > self.began + self.hold:
            raise TooLate

    def stop_for(self, pid, seconds, witness):
        """A pause: `witness` must live through it."""
        self.cluster.freeze(pid)
        self.struck()
        outlives(witness, seconds)
        os.kill(pid, signal.SIGCONT)

    def strike_coordinator(self):
        cluster, victim = self.cluster, self.cluster.coordinator
        if self.strike == "kill":
            victim.signal(signal.SIGKILL)
            self.struck()
            victim.wait_exit(30)
            cluster.start_coordinator()
        elif self.strike == "pause":
            # Longer than what the core calls a stall of its own.
            self.stop_for(victim.pid, 2.5, cluster.workers["w1"].pid)
        else:
            ranks = cluster.alive("rackmark-rank")
            cluster.freeze(victim.pid)
            self.struck()
            for pid in ranks:
                wait_gone(pid)
            victim.signal(signal.SIGCONT)

    def strike_worker(self):
        cluster, victim = self.cluster, self.cluster.workers[self.node]
        if self.strike == "kill":
            victim.signal(signal.SIGKILL)
            self.struck()
            victim.wait_exit(30)
            cluster.start_worker(self.node)
            return
        cluster.freeze(victim.pid)
        self.struck()
        cluster.wait_node("SUSPECT" if self.strike == "pause" else "LOST")
        victim.signal(signal.SIGCONT)

    def strike_rank(self):
        cluster = self.cluster
        victim = cluster.rank_of(self.node)
        if self.phase == "judging":
            # It is ending, or has ended; a strike may still find it.
            if victim is not None:
                os.kill(victim, signal.SIGKILL if self.strike == "kill" else signal.SIGSTOP)
            return
        cluster.assertIsNotNone(victim, "there is no rank to strike")
        if self.strike == "kill":
            os.kill(victim, signal.SIGKILL)
            self.struck()
        elif self.strike == "pause":
            self.stop_for(victim, 1, cluster.workers[self.node].pid)
        else:
            cluster.freeze(victim)
            self.struck()
            wait_gone(victim)

    def strike_cli(self):
        if self.strike == "kill":
            self.cli.signal(signal.SIGKILL)
            self.struck()
        elif self.strike == "pause":
            self.stop_for(self.cli.pid, 1, self.cluster.coordinator.pid)
        else:
            self.cluster.freeze(self.cli.pid)
            self.struck()
            self.cluster.wait_event("JobEnded")
            self.cli.signal(signal.SIGCONT)

    def check_end(self, acked, names):
        cluster = self.cluster
        ended = cluster.wait_event("JobEnded")
        events = cluster.events()
        story = cluster.story()
        cluster.assertEqual(VERDICTS[ended.fields[2]], "PASS", story)
        started = sum(e.name == "RunPreparing" for e in events)
        cluster.assertEqual(started, self.attempts, story)
        self.check_failures([e for e in events if e.failure], story)
        killed = self.victim == "cli" and self.strike == "kill"
        cluster.assertEqual(self.cli.wait_exit(60), -signal.SIGKILL if killed else 0, story)
        after = cluster.chunks()
        cluster.assertEqual({key: after.get(key) for key in acked}, acked, "an acked chunk is lost")
        cluster.assert_streams_whole()
        cluster.assert_nothing_booked(*cluster.where)
        cluster.stop_all()
        cluster.assertEqual(names & cluster.segments(), set(), "shared memory was left behind")

    def check_failures(self, failed, story):
        causes = {(e.failure["kind"], e.failure["node"], e.failure["rank"]) for e in failed}
        if self.failure is None:
            self.cluster.assertEqual(causes, set(), story)
            return
        kind, blame = self.failure
        node, rank = blame if isinstance(blame, tuple) else (blame, None)
        self.cluster.assertEqual(causes, {(kind, node, rank)}, story)
        # Of a lease that failed under its run, both say so.
        names = sorted(e.name for e in failed)
        run = ["RunRequeued"] if self.attempts == 2 else []
        self.cluster.assertEqual(names, ["LeaseReleasing"] + run, story)


class GlooCell(Cell):
    """Real work between two ranks over Gloo: who is killed takes its peer's collective with it."""

    def __init__(self, victim):
        super().__init__(victim, "measuring", "kill")
        self.hold = 4  # the measured window: nothing is held

    def __str__(self):
        return super().__str__() + " serve over Gloo"

    def open(self, cluster):
        cluster.open(workers=0)
        for name in ("w0", "w1"):
            cluster.start_worker(name, "--transport", "gloo")
        cluster.wait_joined(2)

    def job(self):
        return serve_job(duration=f"{self.hold}s", rate="3/s", attempts=2)

    def await_phase(self):
        # Asked before it measures, so that the window is not over when the strike comes.
        self.cluster.wait_event("RunPreparing")
        self.began = time.monotonic()
        self.cluster.wait_event("RunMeasuring")
        self.cluster.wait(self.cluster.chunks, "an acked chunk")


class LocalCell:
    """The CLI of a private cluster takes everything with it when it is killed."""

    def __init__(self, phase):
        self.phase = phase

    def __str__(self):
        return f"cli --local {self.phase} kill"

    def run(self):
        cluster = Cluster()
        cluster.setUp()
        try:
            cli = cluster.run_local(JOB % (self.phase, LONG_HOLD))
            socket = lambda: next(iter(cluster.dir.glob("rackmark-*/coordinator.sock")), None)
            cluster.endpoint = f"unix:{cluster.wait(socket, 'the socket')}"
            word = "held in " + self.phase.upper()
            cluster.wait_event("LeasePlaced")
            cluster.wait(lambda: any(r.get("note") == word for r in cluster.runs()), word)
            names = cluster.segments_of_ranks()
            cli.signal(signal.SIGKILL)
            cluster.wait(lambda: not cluster.alive(), "all processes to end", 30)
            cluster.assertEqual(names & cluster.segments(), set(), "shared memory was left behind")
        finally:
            cluster.close()


def cells():
    wanted = re.compile(os.environ.get("RACKMARK_CELLS", ""))
    every = [Cell(v, p, s) for v, s in TABLE for p, row in zip(PHASES, TABLE[v, s]) if row]
    every += [GlooCell("rank"), GlooCell("rank0")]
    every += [LocalCell(p) for p in PHASES]
    # The long ones first, so that none is left over for the end.
    every.sort(key=lambda c: -getattr(c, "hold", 0))
    return [c for c in every if wanted.search(str(c))]


class Matrix(unittest.TestCase):
    def test_table_is_complete(self):
        wanted = {(v, s) for v in VICTIMS for s in STRIKES if not (v.endswith("0") and s == "pause")}
        self.assertEqual(set(TABLE), wanted)
        for (victim, strike), row in TABLE.items():
            self.assertEqual(len(row), len(PHASES), (victim, strike))
            missing = [phase for phase, cell in zip(PHASES, row) if cell is IMPOSSIBLE]
            self.assertEqual(missing, ["placed"] if victim.startswith("rank") else [])

    def test_every_cell(self):
        def timed(cell):
            start = time.monotonic()
            try:
                cell.run()
                problem = None
            except Exception as failure:  # told at the end, each under its name
                problem = failure
            verdict = "FAILED" if problem else "ok"
            print(f"{cell}: {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
            return cell, problem

        with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("RACKMARK_CELLS_AT_ONCE", 6))) as pool:
            results = list(pool.map(timed, cells()))
        self.assertTrue(results)
        for cell, problem in results:
            with self.subTest(cell=str(cell)):
                if problem:
                    raise problem


if __name__ == "__main__":
    unittest.main()
