"""Runs files of Node.js's test suite, which are programs of their own, and
prints "ok FILE" or "failed FILE" for each; one that says that it is skipped
is left out.

    node.py NODE FOLDER LOG [FILE...]

FOLDER is the suite's, "test" in Node.js's source. FILE is relative to it; by
default all that use TLS or cryptography."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

SECONDS = 120
GUARD = str(pathlib.Path(__file__).resolve().with_name("node_guard.js"))
KINDS = ("parallel", "sequential", "pummel")
NAMES = re.compile(
    r"test-(tls|https|crypto|webcrypto|x509|dh-regr|double-tls)\b")
SECURE = re.compile(r"createSecureServer|['\"](node:)?(tls|https)['\"]")


def concerns(path):
    """Whether |path| is a test that uses TLS or cryptography."""
    if path.name.startswith("test-http2-"):
        return SECURE.search(path.read_text("utf-8", "replace")) is not None
    return NAMES.match(path.name) is not None


def all_files(folder):
    return [str(path.relative_to(folder)) for kind in KINDS
            for path in sorted((folder / kind).glob("test-*.[jm]*s"))
            if concerns(path)]


def flags_of(path):
    """What the line "// Flags: --one --two" of the test asks for."""
    text = path.read_text("utf-8", "replace")
    return " ".join(re.findall(r"^// Flags: (.*)$", text, re.M)).split()


def run(node, folder, name, number):
    """The test's own verdict: its line for the result, and its output."""
    with tempfile.TemporaryDirectory(prefix="mpk.") as work:
        environment = dict(os.environ, NODE_TEST_DIR=work,
                           TEST_THREAD_ID=str(number))
        command = [node, "-r", GUARD, *flags_of(folder / name),
                   str(folder / name)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env=environment, timeout=SECONDS,
                check=False)
        except subprocess.TimeoutExpired as late:
            return "failed " + name, (late.stdout or b"") + b"\ntoo slow\n"
    if re.search(rb"^1\.\.0 # Skipped", done.stdout, re.M):
        return None, done.stdout
    if done.returncode != 0:
        said = done.stdout + b"\nexit status %d\n" % done.returncode
        return "failed " + name, said
    return "ok " + name, done.stdout


def main():
    node, folder, log = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    names = sys.argv[4:] or all_files(folder)
    # Sequential tests use fixed ports.
    apart = [name for name in names if not name.startswith("parallel")]
    together = [name for name in names if name.startswith("parallel")]
    numbers = {name: number for number, name in enumerate(names)}

    def one(name):
        return name, run(node, folder, name, numbers[name])

    with open(log, "wb") as out:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            results = list(pool.map(one, together))
        results += map(one, apart)
        for name, (line, said) in results:
            out.write(b"== %s\n%s\n" % (name.encode(), said))
            if line is not None:
                print(line)


if __name__ == "__main__":
    main()
