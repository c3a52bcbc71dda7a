"""A second implementation of cron's instants, written another way, against the first.

It searches nothing and asks no zone for its changes: it goes through ten years on the wall clock of
Python's zoneinfo, remembers the latest one seen, and says which minutes are due by the two rules of
cron/instants.h. Expressions are read by a reader of its own, and some are drawn from a seed.
RACKMARK_CRON_ORACLE names the program that answers by Next and by Prev.
"""
import calendar
import datetime
import os
import random
import subprocess
import unittest
import zoneinfo

PROGRAM = os.environ["RACKMARK_CRON_ORACLE"]
SEED = int(os.environ.get("RACKMARK_SEED", "20261121"))
UTC = datetime.timezone.utc
# Minutes of wall clocks and of UTC are both counted from here.
EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
# 2011 to 2020 have: Apia without 2011-12-30, Sao Paulo's and Asuncion's skipped midnights,
# St. John's changes a minute after midnight (until 2011), half hours of Lord Howe, Caracas and
# Pyongyang, four changes a year in Casablanca and (2014) Cairo.
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
         "America/Sao_Paulo", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca",
         "Africa/Cairo", "America/Caracas", "Asia/Pyongyang", "Europe/Dublin", "Antarctica/Troll"]
EXPRESSIONS = ["@yearly", "@monthly", "@weekly", "@daily", "17 * * * 1", "30 2 * * *", "0,30 0-3 * * 0",
               "*/15 * * 3,4,9-11 sun", "45 1 * * *", "15,59 23 * * *", "1 0 * * *", "0 0 29 2 *",
               "0 2 13 * fri", "0 3 */2 * 1-5", "0 4 1-31 * MON", "30 2 ? 3,10,11 sun",
               "7-50/11 */2 * * sat,0", "0 0 30 12 *", "59 * 31 * *", "* 1-2 8-14 3,4,10,11 ?"]
LIMITS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
NAMES = {name.lower(): n for names, base in ((calendar.month_abbr[1:], 1),
                                             (("sun mon tue wed thu fri sat").split(), 0))
         for n, name in enumerate(names, base)}
ALIASES = {"@yearly": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
           "@daily": "0 0 * * *"}


def value(word):
    return NAMES[word.lower()] if word.lower() in NAMES else int(word)


class Rule:
    def __init__(self, text):
        self.sets, self.stars = [], []
        for field, (low, high) in zip(ALIASES.get(text, text).split(), LIMITS, strict=True):
            named, star = set(), False
            for part in field.split(","):
                span, _, step = part.partition("/")
                if span in "*?":
                    candidates = range(low, high + 1)
                    star |= step in ("", "1")
                elif "-" in span:
                    first, last = map(value, span.split("-"))
                    candidates = range(first, last + 1)
                else:
                    candidates = range(value(span), (high if step else value(span)) + 1)
                named |= {n for n in candidates if (n - candidates[0]) % int(step or 1) == 0}
            self.sets.append(named)
            self.stars.append(star)
        self.interval = len(self.sets[1]) == 24
        self.minutes_of_day = sorted(h * 60 + m for h in self.sets[1] for m in self.sets[0])
        self.minutes = set(self.minutes_of_day)
        self.days = {}

    def names_day(self, number):
        """number: days since 1970-01-01."""
        if number not in self.days:
            day = datetime.date.fromordinal(EPOCH_DAY + number)
            by_day = day.day in self.sets[2]
            by_weekday = day.isoweekday() % 7 in self.sets[4]
            both = self.stars[2] or self.stars[4]
            self.days[number] = day.month in self.sets[3] and (
                (by_day and by_weekday) if both else (by_day or by_weekday))
        return self.days[number]

    def names(self, wall):
        return wall % 1440 in self.minutes and self.names_day(wall // 1440)


def offset(here, minute):
    seconds = datetime.datetime.fromtimestamp(minute * 60, here).utcoffset().total_seconds()
    assert seconds % 60 == 0, f"{here} is off by part of a minute"
    return int(seconds) // 60


def runs_of(zone, begin, end):
    """(minute, wall clock, length): the runs in which the wall clock goes on minute by minute.

    Looks every half hour, and at each minute where the clock was changed in between.
    """
    here = zoneinfo.ZoneInfo(zone)
    runs, start, last = [], begin, offset(here, begin)
    for half in range(begin, end, 30):
        past = min(half + 30, end)
        if offset(here, past) == last:
            continue
        for minute in range(half, past + 1):
            now = offset(here, minute)
            if now != last:
                runs.append((start, start + last, minute - start))
                start, last = minute, now
    runs.append((start, start + last, end - start))
    return runs


def due_in_runs(rule, runs):
    due, seen = [], runs[0][1] - 1
    for minute, wall, length in runs:
        if not rule.interval and any(rule.names(w) for w in range(seen + 1, wall)):
            due.append(minute)
        for day in range(wall // 1440, (wall + length - 1) // 1440 + 1):
            if not rule.names_day(day):
                continue
            for at in rule.minutes_of_day:
                w = day * 1440 + at
                if wall <= w < wall + length and (rule.interval or w > seen):
                    due.append(minute + w - wall)
        seen = max(seen, wall + length - 1)
    return sorted(set(due))


def due_by_minutes(rule, zone, begin, end):
    """The rule in its plainest words: each minute by itself."""
    here = zoneinfo.ZoneInfo(zone)
    due, seen = [], begin + offset(here, begin) - 1
    for minute in range(begin, end):
        wall = minute + offset(here, minute)
        named = [wall] if rule.interval else range(seen + 1, wall + 1)
        if any(rule.names(w) for w in named):
            due.append(minute)
        seen = max(seen, wall)
    return due


def minutes(year, month, day):
    return int(datetime.datetime(year, month, day, tzinfo=UTC).timestamp()) // 60


def random_field(draw, low, high, dense):
    kind = draw.choice("*nnlrs" if dense else "nnnlr")
    if kind == "*":
        return "*"
    if kind == "n":
        return str(draw.randint(low, high))
    if kind == "l":
        return ",".join(str(draw.randint(low, high)) for _ in range(draw.randint(2, 4)))
    first, last = sorted((draw.randint(low, high), draw.randint(low, high)))
    if kind == "r":
        return f"{first}-{last}" if dense else f"{first}-{last}/{draw.randint(7, 20)}"
    return draw.choice((f"*/{draw.randint(2, 6)}", f"{first}/{draw.randint(2, 6)}"))


def random_expression(draw):
    """Few minutes, or else ten years of instants would be the test's whole work."""
    while True:
        fields = [random_field(draw, *LIMITS[0], dense=False)]
        fields += [random_field(draw, low, high, dense=True) for low, high in LIMITS[1:]]
        text = " ".join(fields)
        rule = Rule(text)
        # Days beyond those of every month may never come, and are refused: expression_test has those.
        comes = fields[2] == "*" or fields[4] != "*" or min(rule.sets[2]) < 29
        if comes and len(rule.minutes_of_day) * len(rule.sets[3]) <= 100:
            return text


def ask(questions):
    lines = [f"{zone}\t{begin * 60}\t{end * 60}\t{text}\n" for zone, begin, end, text in questions]
    answer = subprocess.run([PROGRAM], input="".join(lines), capture_output=True, text=True)
    if answer.returncode != 0:
        raise AssertionError(answer.stderr)
    return [[int(word) // 60 for word in line.split()] for line in answer.stdout.split("\n")[:-1]]


class Oracle(unittest.TestCase):
    def compare(self, zones, begin, end, extra):
        draw = random.Random(f"{SEED} {begin}")
        others = sorted(set(zoneinfo.available_timezones()) - set(zones) - {"localtime", "Factory"})
        zones = zones + draw.sample([z for z in others if "/" in z], extra)
        instants = 0
        for zone in zones:
            # What clocks showed before the first minute counts too.
            runs = runs_of(zone, begin - 4 * 1440, end)
            texts = EXPRESSIONS + [random_expression(draw) for _ in range(6)]
            answers = ask([(zone, begin, end, text) for text in texts])
            self.assertEqual(len(answers), len(texts))
            for text, answer in zip(texts, answers):
                expected = [m for m in due_in_runs(Rule(text), runs) if m >= begin]
                instants += len(expected)
                if answer != expected:
                    first = min(set(answer) ^ set(expected))
                    self.fail(f"seed {SEED}: {zone}: {text}: {len(answer)} instants, not "
                              f"{len(expected)}; the first that differs is unix {first * 60}, "
                              f"{'too much' if first in answer else 'missing'}")
        print(f"{len(zones)} zones, {instants} instants agree")

    def test_ten_years(self):
        self.compare(ZONES, minutes(2011, 1, 1), minutes(2021, 1, 1), extra=2)

    def test_years_that_only_a_rule_knows(self):
        """Beyond 2037 the database has no more changes, but a rule for them."""
        self.compare(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"],
                     minutes(2038, 1, 1), minutes(2043, 1, 1), extra=1)

    def test_the_oracle_itself(self):
        for zone in ("America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"):
            for begin, end in ((minutes(2011, 3, 1), minutes(2011, 4, 8)),
                               (minutes(2011, 9, 20), minutes(2011, 11, 10)),
                               (minutes(2011, 12, 25), minutes(2012, 1, 4))):
                for text in ("30 2 * * *", "*/15 * * * *", "15,59 23 * * *"):
                    self.assertEqual(due_in_runs(Rule(text), runs_of(zone, begin, end)),
                                     due_by_minutes(Rule(text), zone, begin, end), (zone, text))

    def test_what_is_special_is_there(self):
        """The nights that the rules are for are among the ten years."""
        berlin = due_in_runs(Rule("30 2 * * *"), runs_of("Europe/Berlin", minutes(2015, 1, 1),
                                                         minutes(2016, 1, 1)))
        self.assertEqual(len(berlin), 365)
        self.assertIn(minutes(2015, 3, 29) + 60, berlin)   # 01:00 UTC: 03:00 in place of 02:30
        self.assertIn(minutes(2015, 10, 25) + 30, berlin)  # 00:30 UTC: 02:30 for the first time

    def test_a_machine_without_zones_says_so(self):
        answer = subprocess.run([PROGRAM], input="Europe/Berlin\t0\t1\t@daily\n", text=True,
                                capture_output=True, env={**os.environ, "TZDIR": "/nonexistent"})
        self.assertEqual(answer.returncode, 1)
        self.assertIn("install the package tzdata, or write UTC", answer.stderr)


if __name__ == "__main__":
    unittest.main()
