"""Creates a Python environment for tests, once, and prints its path.

Usage: prepare.py FOLDER CHECK REQUIREMENT...

CHECK is Python code that runs in the environment and prints a version.

Prints one line of JSON: {"python": path, "version": what CHECK printed} or {"reason": why it failed}. Several test
files may run this concurrently: a lock, which the system releases with the process, lets one of them do the work.
Runs on any Python 3, so that one that is too old can report that.
"""

import contextlib
import json
import os
import subprocess
import sys

OLDEST_PYTHON = (3, 10)


class Unavailable(Exception):
    """The environment can't be created; the message is the reason."""


@contextlib.contextmanager
def locked(path):
    with open(path, "a+") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:
            import msvcrt

            # Each attempt takes up to ten seconds.
            while True:
                with contextlib.suppress(OSError):
                    file.seek(0)
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        yield


def run(step, *command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    output = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0:
        # pip's first error has the reason; later ones repeat it.
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if line.upper().startswith("ERROR")]
        told = (errors or lines or ["exit code %d" % done.returncode])[0]
        raise Unavailable("%s failed: %s" % (step, told[:300]))
    return output


def prepare(folder, check, requirements):
    if sys.version_info < OLDEST_PYTHON:
        found, wanted = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST_PYTHON))
        raise Unavailable("%s needs Python %s or newer, found %s" % (requirements[0], wanted, found))
    python = os.path.join(folder, "Scripts", "python.exe") if os.name == "nt" else os.path.join(folder, "bin", "python")
    # Written last, so that an unfinished environment has none. If its Python was removed, the link dangles.
    ready = os.path.join(folder, "ready.json")
    if os.path.exists(ready) and os.path.exists(python):
        with open(ready) as file:
            return json.load(file)
    run("python -m venv", sys.executable, "-m", "venv", "--clear", folder)
    retries = "5" if os.environ.get("NETCONDUIT_INTEROP") == "required" else "1"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", retries, "--timeout", "15"]
    run('pip install "%s"' % '" "'.join(requirements), *pip, "install", "--quiet", *requirements)
    found = {"python": python, "version": run("import", python, "-c", check).splitlines()[-1]}
    with open(ready + ".new", "w") as file:
        json.dump(found, file)
    os.replace(ready + ".new", ready)
    return found


def main(folder, check, *requirements):
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with locked(folder + ".lock"):
            answer = prepare(folder, check, requirements)
    except (Unavailable, OSError) as error:
        answer = {"reason": str(error)}
    print(json.dumps(answer))


main(*sys.argv[1:])
