"""Runs the scripts of tlsfuzzer against openssl s_server, or Python's ssl,
under the OPENSSL_CONF of the environment.

    tlsfuzzer.py TREE LOG ["SCRIPT [-d]"...]

Prints a line for each conversation, "ok SCRIPT:NAME" or "failed SCRIPT:NAME",
and for each script one that says whether the server is still there and one
that says whether the script came to its end. As many scripts run at a time as
there are CPUs, or MPK_TEST_JOBS; each has a server to itself.
"""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from queue import SimpleQueue

TREE, LOG = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
CERTS = os.path.join(TREE, "tests")
CLIENT = ["-k", os.path.join(CERTS, "clientX509Key.pem"),
          "-c", os.path.join(CERTS, "clientX509Cert.pem")]
# What measures time, and what the OpenSSL of Debian 12 does not have.
LEFT_OUT = ("marvin timing sslv2 SSLv3 minerva lucky13 mldsa mlkem brainpool "
            "export-ciphers client-certificate-compression").split()
CONVERSATIONS = "30"
SECONDS = 120
# The scripts about these repeat a conversation until a secret happens to begin
# with zeros, some 250 times: fewer conversations, and more time.
REPEATING, REPEATING_CONVERSATIONS, REPEATING_SECONDS = "shared-secret", "3", 900
# Which conversations a script chooses is random. Every run chooses alike.
SEEDED = ("import random, runpy, sys; sys.argv = sys.argv[1:]; random.seed(1);"
          "runpy.run_path(sys.argv[0], run_name='__main__')")


def source(script):
    name = script[:-len(".py")].replace("-", "_") + ".py"
    with open(os.path.join(TREE, "tlsfuzzer", "_apps", name)) as f:
        return f.read()


def takes(script, option):
    return f"opt == '{option}'" in source(script)


def everything():
    scripts = sorted(s for s in os.listdir(os.path.join(TREE, "scripts"))
                     if s.startswith("test-")
                     and not any(word in s for word in LEFT_OUT))
    return scripts + [s + " -d" for s in scripts
                      if takes(s, "-d") and not takes(s, "-k")]


def cert(name):
    return os.path.join(CERTS, name)


# What a script needs of its server. Those that are about lengths want back
# what they send.
ECHO = "echo"
KEYS = {"tls13-rsapss": ("RSAPSS", "EC"), "tls13-eddsa": ("Ed25519", "Ed448"),
        "tls13-ecdsa-support": ("EC", "P384EC")}


def server_of(script):
    name = script.split()[0]
    if "lengths" in name:
        return (ECHO,)
    options = ["-alpn", "http/1.1"] if "alpn" in name else []
    if takes(name, "-k"):
        options += ["-verify", "1"]
    if "renegotiation" in name and "disabled" not in name:
        options += ["-client_renegotiation"]
    first, second = next((keys for word, keys in KEYS.items() if word in name),
                         ("X509", "EC"))
    return (*options,
            "-cert", cert(f"server{first}Cert.pem"),
            "-key", cert(f"server{first}Key.pem"),
            "-dcert", cert(f"server{second}Cert.pem"),
            "-dkey", cert(f"server{second}Key.pem"))


class Server:
    def __init__(self, options):
        with socket.socket() as s:
            s.bind(("localhost", 0))
            self.port = s.getsockname()[1]
        self.options = list(options)
        self.process = None
        self.start()

    def start(self):
        if self.options == [ECHO]:
            command = [sys.executable, os.path.join(HERE, "echo_server.py"),
                       str(self.port), cert("serverX509Cert.pem"),
                       cert("serverX509Key.pem")]
        else:
            command = ["openssl", "s_server", "-accept", str(self.port),
                       "-www", "-cipher", "ALL:@SECLEVEL=0"] + self.options
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("localhost", self.port)) == 0:
                    return
            time.sleep(0.1)
        sys.exit("a server does not start")

    def gone(self):
        return self.process.poll() is not None

    def stop(self):
        self.process.kill()
        self.process.wait()

    def again(self):
        self.stop()
        self.start()


def run(server, script):
    name, *options = script.split()
    if takes(name, "-n"):
        options += ["-n", REPEATING_CONVERSATIONS if REPEATING in name
                    else CONVERSATIONS]
    if takes(name, "-k"):
        options += CLIENT
    command = [sys.executable, "-c", SEEDED,
               os.path.join(TREE, "scripts", name),
               "-h", "localhost", "-p", str(server.port)] + options
    seconds = REPEATING_SECONDS if REPEATING in name else SECONDS
    # The client is not what is tested.
    env = dict(os.environ, OPENSSL_CONF="/dev/null", PYTHONHASHSEED="0")
    try:
        done = subprocess.run(command, env=env, timeout=seconds,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.stdout, False
    except subprocess.TimeoutExpired as e:
        return e.stdout or b"", True


def conversations(output):
    """Whether each went well, every time; names without what is random."""
    went = {}
    for m in re.finditer(r"^(.+?) ?\.\.\.\n((?:.+\n)*)", output, re.M):
        name = re.sub(r"\(vals=.*\)", "(...)", m[1])
        name = re.sub(r"^\"(.*)\" repeat \d+$", r"\1", name)
        well = "OK" in m[2].splitlines()
        went[name] = went.get(name, True) and well
    return went.items()


def lines(script, output, late, gone):
    for name, well in conversations(output):
        yield f"{'ok' if well else 'failed'} {script}:{name}"
    yield f"{'failed' if gone else 'ok'} {script}:the server is there"
    yield f"{'failed' if late else 'ok'} {script}:the script ends"


def work(scripts, options, log, lock):
    server = Server(options)
    while (script := scripts.get()) is not None:
        output, late = run(server, script)
        output = output.decode(errors="replace")
        gone = server.gone()
        with lock:
            log.write(f"==== {script}\n{output}\n")
            print(*lines(script, output, late, gone), sep="\n", flush=True)
        if gone or late:
            server.again()
    server.stop()


def main():
    chosen = sys.argv[3:] or everything()
    jobs = int(os.environ.get("MPK_TEST_JOBS") or os.cpu_count())
    lock = threading.Lock()
    with open(LOG, "w") as log:
        for options in sorted({server_of(script) for script in chosen}):
            scripts = SimpleQueue()
            for script in chosen:
                if server_of(script) == options:
                    scripts.put(script)
            count = min(jobs, scripts.qsize())
            for _ in range(count):
                scripts.put(None)
            workers = [threading.Thread(target=work, daemon=True,
                                        args=(scripts, options, log, lock))
                       for _ in range(count)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()


main()
