"""Runs the scripts of tlsfuzzer against openssl s_server, under the
OPENSSL_CONF of the environment.

    tlsfuzzer.py TREE LOG ["SCRIPT [-d]"...]

Prints a line for each conversation, "ok SCRIPT:NAME" or "failed SCRIPT:NAME",
and one for each script after which the server was gone.
"""

import os
import re
import socket
import subprocess
import sys
import time

TREE, LOG = sys.argv[1:3]
CERTS = os.path.join(TREE, "tests")
CLIENT = ["-k", os.path.join(CERTS, "clientX509Key.pem"),
          "-c", os.path.join(CERTS, "clientX509Cert.pem")]
# What measures time, and what the OpenSSL of Debian 12 does not have.
LEFT_OUT = ("marvin timing sslv2 SSLv3 minerva lucky13 mldsa mlkem brainpool "
            "export-ciphers client-certificate-compression").split()
CONVERSATIONS = "30"
SECONDS = 240
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


class Server:
    def __init__(self, ask_for_certificate):
        with socket.socket() as s:
            s.bind(("localhost", 0))
            self.port = s.getsockname()[1]
        self.options = ["-verify", "1"] if ask_for_certificate else []
        self.process = None
        self.start()

    def start(self):
        def cert(name):
            return os.path.join(CERTS, name)
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", str(self.port), "-www",
             "-cert", cert("serverX509Cert.pem"),
             "-key", cert("serverX509Key.pem"),
             "-dcert", cert("serverECCert.pem"),
             "-dkey", cert("serverECKey.pem"),
             "-cipher", "ALL:@SECLEVEL=0"] + self.options,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("localhost", self.port)) == 0:
                    return
            time.sleep(0.1)
        sys.exit("openssl s_server does not start")

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
        options += ["-n", CONVERSATIONS]
    if takes(name, "-k"):
        options += CLIENT
    command = [sys.executable, "-c", SEEDED,
               os.path.join(TREE, "scripts", name),
               "-h", "localhost", "-p", str(server.port)] + options
    # The client is not what is tested.
    env = dict(os.environ, OPENSSL_CONF="/dev/null")
    try:
        done = subprocess.run(command, env=env, timeout=SECONDS,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.stdout, False
    except subprocess.TimeoutExpired as e:
        return e.stdout or b"", True


def conversations(output):
    """Pairs of a name and whether it went well."""
    return [(m[1], m[2] == "OK")
            for m in re.finditer(r"^(.+) \.\.\.\n(.*)$", output, re.M)]


def main():
    chosen = sys.argv[3:] or everything()
    with open(LOG, "w") as log:
        for certificate in (False, True):
            group = [s for s in chosen
                     if takes(s.split()[0], "-k") == certificate]
            if not group:
                continue
            server = Server(certificate)
            for script in group:
                output, late = run(server, script)
                output = output.decode(errors="replace")
                log.write(f"==== {script}\n{output}\n")
                for name, well in conversations(output):
                    print("ok" if well else "failed", f"{script}:{name}")
                if server.gone():
                    print("failed", f"{script}:the server is gone")
                else:
                    print("ok", f"{script}:the server is there")
                if server.gone() or late:
                    server.again()
            server.stop()


main()
