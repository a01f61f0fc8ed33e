"""A place with a run and files of others all about it, and every command that may work on it."""

import contextlib
import io
import itertools
import os
import random
import signal
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from iem_batch.cli import main
from tests.growing import pictures

OLD_S = 10**9
"""Of a file that nobody has changed for long, in seconds since 1970."""

FOLDERS = (
    *("", "run", "run/report", "run/export", "run/segment", "run/train", "run/quarantine"),
    *("run/_run", "run/_run/stats", "run/_run/manifest", "run/rounds", "run/rounds/7/segment"),
    *("run/photos", "run/my photos/größe", "run/.git", "corpus/train", "converted", "masks"),
    *("outside", "outside/_run", "run.old/_run", "photos/below", "truth"),
)
NAMES = (
    *(
        "{}.txt",
        "with spaces {}.jpg",
        "größe 文件 {}.png",
        ".hidden{}",
        ".{}.tmp",
        "-{}",
        "100%25{}",
    ),
    *("part-{:05d}.parquet", "part-{:05d}.json", "part-{:05d}.tar", "train-{}.json", "#{}&id=x"),
    *("report/index-{}.html", "_run/plan-{}.json", "segment/part-{:05d}.parquet", "a\nline{}"),
    *("README.md", "index.html", "_SUCCESS", "plan.json", "weights.safetensors", "metadata.csv"),
)
OURS = (
    *("run/report/index.html", "run/train/weights.safetensors", "run/_run/plan.json", "README.md"),
    *("run/_SUCCESS", "corpus/README.md", "converted/README.md", "masks/README.md"),
    *("corpus/train/metadata.csv", "corpus/README.md", "run/export/metadata.csv"),
)
"""Where this program writes: a file there cannot be told from what a kill has left of it."""
FIRST_FOREIGN_SHARD = 1000
MAX_WRITES = 100

QUICK = (
    *("--local", "--plan.shard_size=3", "--decode.size_px=32", "--decode.fit=crop"),
    *("--decode.resize=nearest", "--iem.sigma_px=2", "--iem.kernel_px=5", "--iem.iterations=5"),
    *("--segment.backend=torch", "--segment.init_shares=[0.375,0.625]", "--segnet.width=4"),
    *("--segnet.num_blocks=1", "--export.pairs_per_file=4", "--train.epochs=1"),
    *("--train.batch_size=4", "--report.num_photos=20", "--demo.num_images=2"),
)

CALLS = {
    "segment": ("photos run", "photos run --overwrite --iem.iterations=7", "truth outside"),
    "fuse": ("run", "run --overwrite --fuse.method=dataset", "outside"),
    "topk": ("run", "run --overwrite -k 3", "run --overwrite --fraction=0.5 --rounds=2"),
    "export": ("run", "run --overwrite --format=coco", "run --to corpus", "run --to photos")
    + ("run --overwrite --to corpus --format=folder", "run --overwrite --to outside"),
    "train": ("run", "run --overwrite --train.epochs=2"),
    "predict": ("run", "run --overwrite --predict.threshold=0.4"),
    "refine": ("run", "run --overwrite --refine.method=iem"),
    "upscale": ("run", "run --overwrite --upscale.encoding=rle"),
    "evaluate": ("run --truth truth", "run"),
    "report": ("run", "run --report.seed=1"),
    "convert": ("photos converted", "photos converted --overwrite --to=tar", "photos run")
    + ("photos converted --extend", "photos outside --overwrite", "photos photos/below"),
    "apply": ("run photos masks", "run photos masks --overwrite --format=png")
    + ("run photos masks --extend", "run photos outside --overwrite", "run photos truth"),
    "run": ("photos run --truth truth", "photos run --extend", "photos run --as-planned")
    + ("photos run --overwrite --rounds=2", "photos run --overwrite --fraction=0.8"),
    "plan": ("photos run", "photos run --extend", "photos run --overwrite --shard-size=4")
    + ("photos outside --overwrite", "photos photos/below", "photos run/report --overwrite"),
    "show": ("disc_000.png run --png drawn.png",),
    "status": ("run", "run --json", "outside"),
    "verify": ("run", "run --reread", "converted", "masks"),
    "retry": ("run", "run --quarantined", "run --damaged", "converted --damaged"),
    "ship": ("run shipped", "run outside", "run run/my"),
    "demo": ("demo", "outside", "run"),
    "doctor": ("--run run --source photos", "--run outside --source photos"),
}
"""Command -> what may stand behind it; names of places stand for those of the test."""

PLACES = {"photos", "truth", "run", "corpus", "converted", "masks", "outside", "shipped", "demo"}
WRITES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir"}


@dataclass(frozen=True)
class Kept:
    """What is remembered of a file of others."""

    inode: int
    changed_ns: int
    content: str | bytes


class Land:
    """A folder with photos, truth and a run in it, and the files of others among all that."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng = root, random.Random(seed)
        self.foreign: dict[Path, Kept] = {}
        self._numbers = itertools.count(FIRST_FOREIGN_SHARD)

    def arguments(self, command: str, behind: str) -> list[str]:
        """Give what the command line gets."""
        words = [self._place(word) for word in behind.split()]
        return [command, *words, *(() if command == "doctor" else QUICK)]

    def _place(self, word: str) -> str:
        if word == "drawn.png":
            return str(self.root / word)
        first = word.partition("/")[0]
        return str(self.root / word) if first in PLACES else word

    def sprinkle(self, count: int) -> None:
        """Put files of others anywhere: into the folders there are, and into new ones."""
        there = [path for path in self.root.rglob("*") if path.is_dir() and not path.is_symlink()]
        for _ in range(count):
            folder = self.rng.choice([self.rng.choice(there), self.root / self.rng.choice(FOLDERS)])
            name = self.rng.choice(NAMES).format(next(self._numbers))
            if self.rng.random() < 0.1:
                self.link(folder / f"linked {name.replace('/', '-')}")
            else:
                self.add(folder / name, self.rng.randbytes(20))

    def add(self, path: Path, data: bytes) -> None:
        """Write a file of others, unless one is there or this program may write there."""
        if os.path.lexists(path) or str(path.relative_to(self.root)) in OURS:
            return
        if not self._is_free(path):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.keep(path)

    def keep(self, path: Path) -> None:
        """Take a file for one of others."""
        os.utime(path, (OLD_S, OLD_S))
        self.foreign[path] = look(path)

    def link(self, path: Path) -> None:
        """Make a link to the files of others outside."""
        if self._is_free(path) and not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(self.root / "outside", target_is_directory=True)
            self.foreign[path] = look(path)

    def _is_free(self, path: Path) -> bool:
        """Tell whether a file may be put there: RUN and its like must be made by a command."""
        top = path.relative_to(self.root).parts[0]
        is_made = top not in PLACES or (self.root / top / "_run/run.json").exists()
        return is_made or top in ("photos", "truth", "outside")

    def add_photos(self, count: int) -> None:
        """Add photos that nobody has planned; they are files of the user too."""
        for _ in range(count):
            number = next(self._numbers)
            self.add(self.root / f"photos/{number}.png", pictures(1)["000.png"])

    def require_untouched(self, by: str) -> None:
        """Check that every file of others is as it was."""
        for path, before in self.foreign.items():
            assert os.path.lexists(path), f"{by} has deleted {path}"
            assert look(path) == before, f"{by} has changed {path}"


def look(path: Path) -> Kept:
    """Look at a file, or at a link itself."""
    status = path.lstat()
    content = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return Kept(status.st_ino, status.st_mtime_ns, content)


def killed(arguments: list[str], after: int) -> int | None:
    """Do a command in a process that SIGKILL ends before its next write or deletion after so many.

    Returns:
        Its exit status; -SIGKILL, or another if the command did not write so much.
    """
    process = get_context("spawn").Process(target=_killing_itself, args=(arguments, after))
    process.start()
    process.join()
    return process.exitcode


def _killing_itself(arguments: list[str], after: int) -> None:
    done = itertools.count()

    def look_at(event: str, args: tuple[object, ...]) -> None:
        flags = args[2] if event == "open" else 0
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            is_write = isinstance(args[0], str) and not args[0].startswith("/dev/")
        else:
            is_write = event in WRITES
        if is_write and next(done) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        sys.addaudithook(look_at)
        main(arguments)


def sequence(rng: random.Random) -> list[tuple[str, str, int | None]]:
    """Draw an order of all commands and some again, each with something behind it.

    Returns:
        Command, what stands behind it, and the write at which it is killed, or None.
    """
    drawn = [(name, rng.choice(CALLS[name])) for name in [*CALLS, *rng.choices(list(CALLS), k=4)]]
    killed = rng.sample(drawn, 3) + [("run", "photos run --overwrite --extend")]
    calls = [(*call, None) for call in drawn] + [
        (*call, rng.randrange(MAX_WRITES)) for call in killed
    ]
    rng.shuffle(calls)
    return calls
