"""What many pairs cost: time of each phase of preparation, memory, disk, start-up, order and resume.

    python benchmarks/size.py                        200,000 synthetic pairs, made on the spot
    python benchmarks/size.py 20000000 --words 8     20 million short ones
    python benchmarks/size.py 2000000 --threads 1    one process
    python benchmarks/size.py 2000000 --json size.json --folder /big/disk

Pairs are seeded: words by Zipf's law out of 100,000, a lognormal number of them, and targets that are as long as
their sources but for some words. Everything lies in a new folder, which is removed at the end (--keep leaves it).
It prints, and with --json writes:

    making        of the synthetic text: pairs a second, bytes of text a pair
    reading, vocabulary, encoding
                  pairs a second of each phase; microseconds a pair of all processes, and of the first one alone,
                  which more processes cannot make less; and the most memory in it: `anonymous`, which is that of
                  the process and its workers, and `resident`, with pages of files, which the system takes back
    disk          bytes a pair of the prepared folder
    start         seconds from the start of Python to the first batch on cached data, of the clock and of this
                  process, and the most memory
    epoch         batches, share of padding, seconds for the order of a whole epoch, milliseconds to read a batch
    resume        whether the batches after a kill in the midst of an epoch are those that a whole epoch has

Every phase but the making runs in a process of its own. Memory is read from /proc, so this runs on Linux alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 50_000  # pairs that are made at once
VOCABULARY = 100_000  # words
SYLLABLES = [c + v for c in "bdfghklmnprst" for v in ("a", "e", "i", "o", "u", "an", "er")]
READ = 500  # batches


def word(number: int) -> str:
    """A word of as many syllables as the number has digits, so that frequent words are short."""
    number, syllable = divmod(number, len(SYLLABLES))
    return (word(number - 1) if number else "") + SYLLABLES[syllable]


def make(folder: Path, pairs: int, words: float) -> dict[str, float]:
    """Write parallel text; the same for the same numbers."""
    began = time.perf_counter()
    random = np.random.default_rng(1)
    vocabulary = np.array([word(number) for number in range(VOCABULARY)], object)
    share = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    share /= share[-1]
    with open(folder / "source.txt", "w") as source, open(folder / "target.txt", "w") as target:
        for start in range(0, pairs, BLOCK):
            count = min(BLOCK, pairs - start)
            long = random.lognormal(np.log(words), 0.4, count)
            for file, sizes in ((source, long), (target, long * random.lognormal(0, 0.15, count))):
                ends = np.cumsum(np.clip(sizes, 1, 100).astype(np.int64))
                drawn = vocabulary[np.searchsorted(share, random.random(ends[-1]))].tolist()
                begins = [0, *ends[:-1].tolist()]
                file.writelines(
                    " ".join(drawn[begin:end]) + "\n" for begin, end in zip(begins, ends.tolist(), strict=True)
                )
    seconds = time.perf_counter() - began
    size = sum((folder / name).stat().st_size for name in ("source.txt", "target.txt"))
    return {"pairs_per_second": pairs / seconds, "bytes_a_pair": size / pairs}


def family() -> list[Path]:
    """This process and its children in /proc."""
    found = [Path("/proc/self")]
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += [Path("/proc") / child for child in (task / "children").read_text().split()]
    return found


def memory(process: Path) -> tuple[int, int]:
    """Kilobytes of a process: its own, and with pages of files."""
    with suppress(OSError, KeyError):
        fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return int(fields["RssAnon"].split()[0]), int(fields["VmRSS"].split()[0])
    return 0, 0


def cpu(process: Path) -> float:
    """Seconds of work of a process."""
    with suppress(OSError):
        fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


class Watch(threading.Thread):
    """The most memory of this process and its children since the last `taken`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = [0, 0]
        self.start()

    def run(self) -> None:
        while True:
            now = [sum(side) for side in zip(*map(memory, family()), strict=True)]
            self.most = [max(pair) for pair in zip(self.most, now, strict=True)]
            time.sleep(0.05)

    def taken(self) -> dict[str, float]:
        time.sleep(0.06)
        anonymous, resident = self.most
        self.most = [0, 0]
        return {"anonymous_mb": anonymous / 1024, "resident_mb": resident / 1024}


def recipe_of(folder: Path, threads: int | None) -> Any:
    import weft.recipe

    return weft.recipe.checked(
        {
            "data": {
                "train": {"source": str(folder / "source.txt"), "target": str(folder / "target.txt")},
                "dev_fraction": 0.001,
            },
            "vocabulary": {"shared": True, "source": {"kind": "bpe", "size": 16_000}},
            "training": {"batch_tokens": 4096, "threads": threads},
        },
        "benchmarks/size.py",
    )


def prepare(folder: Path, pairs: int, threads: int | None) -> dict[str, Any]:
    from weft.data import corpus, preparation

    found: dict[str, Any] = {}
    watch = Watch()

    def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            watch.taken()
            began, before, alone = time.perf_counter(), sum(map(cpu, family())), time.process_time()
            result = step(*given)
            seconds, alone = time.perf_counter() - began, time.process_time() - alone
            found[name] = {
                "seconds": seconds,
                "pairs_per_second": pairs / seconds,
                "cpu_microseconds": 1e6 * (sum(map(cpu, family())) - before) / pairs,
                "alone_microseconds": 1e6 * alone / pairs,
                **watch.taken(),
            }
            return result

        return run

    steps = {"reading": "survey", "vocabulary": "learn", "encoding": "encode"}
    for name, step in steps.items():
        setattr(preparation.Preparation, step, timed(name, getattr(preparation.Preparation, step)))
    began = time.perf_counter()
    corpus.prepare(recipe_of(folder, threads), report=lambda line: print(f"  {line}", file=sys.stderr, flush=True))
    seconds = time.perf_counter() - began
    found["whole"] = {"seconds": seconds, "pairs_per_second": pairs / seconds}
    (prepared,) = (path.parent for path in (folder / "cache").glob("*/counts.json"))
    found["disk"] = {"bytes_a_pair": sum(path.stat().st_size for path in prepared.rglob("*") if path.is_file()) / pairs}
    return found


def examples_of(folder: Path) -> Any:
    from weft.data.corpus import prepare
    from weft.data.examples import Examples

    recipe = recipe_of(folder, None)
    return Examples(recipe, prepare(recipe))


def start(folder: Path, began: float) -> dict[str, float]:
    watch = Watch()
    imported = time.time() - began
    examples = examples_of(folder)
    opened = time.time() - began
    examples.batch(next(examples.order.rest(0, 0)), 0)
    return {
        "imported": imported,
        "opened": opened,
        "first_batch": time.time() - began,
        "cpu": time.process_time(),
        **watch.taken(),
    }


def epoch(folder: Path) -> dict[str, Any]:
    examples = examples_of(folder)
    watch = Watch()
    source, target = (side for side in (examples.corpus.source_lengths, examples.corpus.target_lengths))
    began, batches, padded, real = time.perf_counter(), 0, 0, 0
    seconds, seen = 0.0, 0
    for rows in examples.order.rest(0, 0):
        seconds += time.perf_counter() - began
        batches += 1
        seen += len(rows)
        real += int(source[rows].sum() + target[rows].sum()) + 2 * len(rows)
        padded += len(rows) * (int(source[rows].max()) + int(target[rows].max()) + 2)
        began = time.perf_counter()
    order = watch.taken()
    assert seen == len(examples.corpus)
    chosen = list(islice(examples.order.rest(1, 0), READ))
    began = time.perf_counter()
    for rows in chosen:
        examples.batch(rows, 1)
    reading = (time.perf_counter() - began) / len(chosen)
    return {
        "batches": batches,
        "padding": 1 - real / padded,
        "order_seconds": seconds,
        "batch_milliseconds": 1000 * reading,
        **order,
    }


def walk(folder: Path, number: int, position: int) -> Iterator[str]:
    """A digest of each batch of an epoch from a position on."""
    examples = examples_of(folder)
    for rows in examples.order.rest(number, position):
        batch = examples.batch(rows, number)
        yield blake2b(batch.rows.tobytes() + batch.gold.data.numpy().tobytes(), digest_size=8).hexdigest()


def resume(folder: Path, batches: int) -> dict[str, Any]:
    """Kill a process that goes through an epoch, and compare what another goes on with to the whole."""
    program = [sys.executable, __file__, "--phase", "walk", "--folder", str(folder), "--position"]
    middle = batches // 2
    with subprocess.Popen([*program, str(middle)], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        before = [line.strip() for line in islice(killed.stdout, 20)]
        killed.send_signal(signal.SIGKILL)
    began = time.perf_counter()
    with subprocess.Popen([*program, str(middle + 10)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        after = [line.strip() for line in islice(other.stdout, 10)]
        seconds = time.perf_counter() - began
        other.kill()
    return {"exact": before[10:] == after and len(after) == 10, "seconds_to_the_midst": seconds}


@contextmanager
def workplace(given: str | None, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="weft-size-", dir=given))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)


def phase(name: str, folder: Path, *options: str) -> dict[str, Any]:
    """What one phase found, run in a process of its own."""
    command = [sys.executable, __file__, "--phase", name, "--folder", str(folder), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def told(name: str, found: dict[str, Any]) -> None:
    shown = ", ".join(
        f"{key} {value:,.0f}" if isinstance(value, float) and value >= 100 else f"{key} {value:.3g}"
        for key, value in found.items()
    )
    print(f"{name:12} {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="what many pairs cost")
    parser.add_argument("pairs", nargs="?", type=int, default=200_000)
    parser.add_argument("--words", type=float, default=12.0, help="of a source, the median")
    parser.add_argument("--threads", type=int, default=None, help="of preparation; all cores where none are given")
    parser.add_argument("--folder", help="where the data is made")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--json", help="where the figures are written")
    parser.add_argument("--phase", choices=["prepare", "start", "epoch", "walk"], help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--position", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.phase:
        folder = Path(args.folder)
        os.environ["WEFT_CACHE"] = str(folder / "cache")
        if args.phase == "walk":
            for line in walk(folder, 3, args.position):
                print(line, flush=True)
        elif args.phase == "prepare":
            print(json.dumps(prepare(folder, args.pairs, args.threads)))
        else:
            print(json.dumps(start(folder, args.began) if args.phase == "start" else epoch(folder)))
        return
    with workplace(args.folder, args.keep) as folder:
        report: dict[str, Any] = {"pairs": args.pairs, "cores": len(os.sched_getaffinity(0)), "threads": args.threads}
        print(f"{args.pairs:,} pairs, {report['cores']} cores", flush=True)
        report["making"] = make(folder, args.pairs, args.words)
        told("making", report["making"])
        threads = [] if args.threads is None else ["--threads", str(args.threads)]
        report |= phase("prepare", folder, str(args.pairs), *threads)
        for name in ("reading", "vocabulary", "encoding", "whole", "disk"):
            told(name, report[name])
        report["start"] = phase("start", folder, "--began", str(time.time()))
        told("start", report["start"])
        report["epoch"] = phase("epoch", folder)
        told("epoch", report["epoch"])
        report["resume"] = resume(folder, report["epoch"]["batches"])
        told("resume", report["resume"])
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
