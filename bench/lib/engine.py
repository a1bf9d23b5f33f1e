"""The reform command as the evaluations use it: what a binary knows, ingests that are kept, searches, replies."""
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lib.fetch import FetchError
from lib.files import sha256
from lib.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import reform_cli  # noqa: E402

MOST_NEW_TOKENS = 1 << 20  # that `generate -n` takes
SECONDS_PER_TEXT = 6 * 3600
SECONDS_PER_REPLY = 3600


def context_name(text, options):
    return "t" + hashlib.sha256(text + "\0".join(options).encode()).hexdigest()[:16]


class Engine:
    def __init__(self, binary, model, store, threads):
        self.binary, self.model, self.store = binary, model, store
        self.threads = () if threads is None else ("--threads", threads)
        raw = binary.read_bytes()
        self.version = {**reform_cli.run("--version", binary=binary), "sha256": hashlib.sha256(raw).hexdigest()[:12]}
        self.help = {}

    def knows(self, verb, *options):
        """Whether the binary has the verb and these options, by its own help."""
        if verb not in self.help:
            done = subprocess.run([str(self.binary), verb, "--help"], capture_output=True, text=True)
            self.help[verb] = done.stdout.split() if done.returncode == 0 and f"reform {verb} " in done.stdout else None
        said = self.help[verb]
        return said is not None and all(any(w.split("=")[0].split(",")[-1] == o for w in said) for o in options if o.startswith("--"))

    def lacks(self, row_name, uses):
        """What this binary does not have of `uses`, pairs of a verb and its options; None if it has everything."""
        for what, options in uses:
            if not self.knows(what):
                return f"row {row_name} needs `reform {what}`, which {self.binary} does not have"
            missing = [o for o in options if o.startswith("--") and not self.knows(what, o)]
            if missing:
                return f"row {row_name} needs `reform {what} {missing[0]}`, which {self.binary} does not have"
        return None

    def window(self):
        """The model's, in tokens; None if the binary does not say. It names the window where it refuses to pass it."""
        done = subprocess.run(list(map(str, (self.binary, "generate", "--model", self.model, "-n", MOST_NEW_TOKENS, "a"))), capture_output=True,
                              text=True)
        said = re.search(r"pass the model's window of (\d+)", done.stderr)
        return int(said[1]) if said else None

    def count_tokens(self, path):
        """Of the model in a text: an ingest with a head of the first layer ends there, so it takes a second."""
        with tempfile.TemporaryDirectory() as folder:
            heads = Path(folder) / "heads.json"
            heads.write_text('{"heads": ["v0.0"]}')
            read = reform_cli.run("ingest", "count", path, "--model", self.model, "--store", Path(folder) / "store",
                                  "--heads", heads, *self.threads, binary=self.binary, timeout_s=SECONDS_PER_TEXT)
        return read["context"]["n_tokens"]

    def ingest(self, path, text, options, store_options=()):
        """(the context's name, the report); the same text is not read twice, and a stopped ingest goes on. `options` change what is
        kept, `store_options` do not."""
        name = context_name(text, options)
        self.store.parent.mkdir(parents=True, exist_ok=True)
        report = reform_cli.run("ingest", name, path, "--model", self.model, "--store", self.store, *options, *store_options,
                                *self.threads, binary=self.binary, show_progress=sys.stderr.isatty(),
                                timeout_s=SECONDS_PER_TEXT)
        return name, report

    def search(self, name, questions, options):
        """What `search --file` prints for each question."""
        file = self.store.parent / "questions.txt"
        file.write_text("".join(q + "\n" for q in questions))
        command = [self.binary, "search", name, "--file", file, "--json", "--store", self.store, *options, *self.threads]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        if done.returncode != 0 or len(answers) != len(questions):
            said = " ".join(done.stderr.split("\n")[-3:])
            raise reform_cli.CommandFailed(f"{' '.join(map(str, command))}: exit status {done.returncode}, {len(answers)} answers to "
                                           f"{len(questions)} questions: {said}")
        return answers

    def ask(self, name, question, options):
        return reform_cli.run("ask", "--store", self.store, *options, *self.threads, name, question, binary=self.binary,
                              timeout_s=SECONDS_PER_REPLY)

    def generate(self, prompt, options):
        """With the model's chat template, without a context. The prompt goes through a file, as it may be longer than an argument."""
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write(prompt)
            file.flush()
            return reform_cli.run("generate", "--chat", "--model", self.model, *options, *self.threads, "--file", file.name,
                                  binary=self.binary, timeout_s=SECONDS_PER_REPLY)


def open_engine(arguments):
    """By the options --binary, --model, --store, --work-dir and --threads."""
    for path, advice in ((arguments.binary, "./dev build"), (arguments.model, "./dev model")):
        if not path.is_file():
            raise FetchError(f"{path} is missing: {advice} makes it, or name another one")
    store = arguments.store or arguments.work_dir / f"store-{sha256(arguments.binary.read_bytes())}"
    return Engine(arguments.binary, arguments.model, store, arguments.threads)


def run_script(name, main):
    """Ends the process by main()'s status, or with one line of what a user can mend."""
    try:
        sys.exit(main())
    except (FetchError, reform_cli.CommandFailed, ValueError, RuntimeError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
