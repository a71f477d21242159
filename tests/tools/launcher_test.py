#!/usr/bin/env python3
"""The launcher ./fovea, in a copy of its own with stand-ins for apt-get, meson, ninja and the program."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODES = (0, 1, 2, 3, 4, 75)


class Launcher(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fovea launcher "))  # with spaces
        self.addCleanup(shutil.rmtree, self.folder)
        self.home = self.folder / "check out"
        self.bin = self.folder / "bin"
        for folder in (self.home / "build", self.bin):
            folder.mkdir(parents=True)
        shutil.copy(ROOT / "fovea", self.home)
        self.log = self.folder / "log"
        self.log.touch()
        self.script(self.home / "build/fovea", 'printf "<%s>" "$@"; exit "${CODE:-0}"')
        (self.home / "build/build.ninja").touch()
        for name in ("apt-get", "meson", "sudo"):
            self.script(self.bin / name, f'echo "{name} $*" >>"$LOG"')
        self.script(self.bin / "ninja", 'echo "ninja $*" >>"$LOG"; echo "${SAYS:-}"; exit "${NINJA:-0}"')
        self.installed("*")

    def script(self, path, body):
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def installed(self, *packages):
        """The packages that dpkg-query knows; "*" is any."""
        known = " ".join(packages)
        self.script(self.bin / "dpkg-query", f"""set -f; known="{known}"
            for p; do [[ $p == --* ]] || for k in $known; do
              [[ $k == "*" || $k == "$p" ]] && echo "installed $p"; done; done; exit 1""")

    def run_it(self, *words, cwd=None, **environment):
        path = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.run([self.home / "fovea", *words], cwd=cwd or self.folder, capture_output=True,
                              text=True, env={"PATH": path, "LOG": str(self.log), **environment}, check=False)

    def test_other_words_go_to_the_program_unaltered(self):
        words = ["run", "a b.toml", "", "*", "train.lr=1e-3", "--flag=$HOME"]
        result = self.run_it(*words)
        self.assertEqual(result.stdout, "".join(f"<{word}>" for word in words))
        self.assertEqual(self.log.read_text(), "", "nothing is built or installed on the way")

    def test_exit_codes_pass_through(self):
        for code in CODES:
            self.assertEqual(self.run_it("run", CODE=str(code)).returncode, code)

    def test_works_through_a_link(self):
        link = self.bin / "fovea"
        link.symlink_to(self.home / "fovea")
        self.assertEqual(subprocess.run([link, "x"], capture_output=True, check=True).stdout, b"<x>")

    def test_builds_first_when_there_is_no_program(self):
        (self.home / "build/fovea").rename(self.folder / "program")
        (self.home / "build/build.ninja").unlink()
        self.script(self.bin / "ninja", f'cp "{self.folder}/program" "{self.home}/build/fovea"')
        result = self.run_it("devices")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "<devices>", ""))
        self.assertIn("meson setup --buildtype=release", self.log.read_text())

    def test_a_failed_build_shows_the_compiler_and_exits_1(self):
        result = self.run_it("build", SAYS="a.cc:1:1: error", NINJA="1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("a.cc:1:1: error", result.stderr)

    def test_setup_does_nothing_when_all_is_there(self):
        result = self.run_it("setup")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"^setup run: all \d+ packages are installed\n$")
        self.assertEqual(self.log.read_text(), "")

    def test_setup_installs_what_is_missing_and_says_which(self):
        self.installed("g++", "meson")
        result = self.run_it("setup", "run")
        self.assertEqual(result.returncode, 0, result.stderr)
        line = result.stdout.strip()
        self.assertTrue(line.startswith("setup run: installing "))
        wanted = line.removeprefix("setup run: installing ").split()
        self.assertIn("libdnnl-dev", wanted)
        self.assertNotIn("meson", wanted)
        self.assertNotIn("clang", wanted, "the tests' packages are not for running")
        update, install = self.log.read_text().splitlines()
        self.assertTrue(update.endswith("apt-get update"))
        self.assertEqual(install.split("--no-install-recommends ")[1].split(), wanted)

    def test_each_purpose_adds_its_packages(self):
        self.installed("none")
        run, test, cluster = (set(self.run_it("setup", purpose).stdout.split()) for purpose in
                              ("run", "test", "cluster"))
        self.assertIn("libgtest-dev", test - run)
        self.assertIn("openmpi-bin", cluster - run)

    def test_setup_gpu_brings_headers_and_a_build_looks_for_them_again(self):
        self.script(self.bin / "python3", f'echo "python3 $*" >>"$LOG"; mkdir -p "{self.home}/.packages/include"')
        stale = self.home / ".packages/old"
        stale.mkdir(parents=True)
        result = self.run_it("setup", "gpu")
        self.assertEqual(result.returncode, 0, result.stderr)
        pip, meson = self.log.read_text().splitlines()
        self.assertRegex(pip, r"^python3 -m pip install .*nvidia-cudnn-frontend==[0-9.]+$")
        self.assertIn(f"--target {self.home}/.packages", pip)
        self.assertIn("meson setup --reconfigure", meson)
        self.assertFalse(stale.exists(), "nothing of an older version stays")

    def test_setup_gpu_that_fails_shows_why(self):
        self.script(self.bin / "python3", 'echo "no network"; exit 1')
        result = self.run_it("setup", "gpu")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no network", result.stderr)

    def test_mistakes_are_one_line(self):
        self.installed("none")
        self.script(self.bin / "apt-get", "exit 0")
        result = self.run_it("setup", "everything")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertEqual(result.stderr,
                         'fovea: unknown purpose "everything": choose run, test, cluster or gpu\n')

    def test_a_failed_installation_shows_why(self):
        self.installed("none")
        self.script(self.bin / "apt-get", 'echo "E: no network"; exit 100')
        self.script(self.bin / "sudo", '"$@"')
        result = self.run_it("setup")
        self.assertEqual(result.returncode, 1)
        self.assertIn("E: no network", result.stderr)

    def test_demo_stops_at_the_first_failure_with_its_code(self):
        for code in (0, 1, 75):
            result = self.run_it("demo", CODE=str(code))
            self.assertEqual(result.returncode, code)
            self.assertEqual("<report>" in result.stdout, code == 0)
            self.assertIn(f"{self.home}/runs/demo", result.stdout)

    def test_clean_removes_build_folders_only(self):
        keep = [self.home / name for name in ("runs/demo", "build-mine", "src")]
        for folder in keep + [self.home / "build-address", self.home / "build-thread", self.home / "build-fuzz"]:
            folder.mkdir(parents=True)
        result = self.run_it("clean")
        self.assertIn("runs/ stays", result.stdout)
        self.assertEqual(sorted(path.name for path in self.home.iterdir()), ["build-mine", "fovea", "runs", "src"])

    def test_help_names_every_command(self):
        text = self.run_it("help").stdout
        for word in ("setup", "build", "demo", "test", "clean"):
            self.assertIn(f"\n  {word} ", text)


class Count(unittest.TestCase):
    def count(self, *tests):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as log:
            log.writelines(json.dumps(test) + "\n" for test in tests)
            log.flush()
            return subprocess.run([ROOT / "tests/count.py", log.name], capture_output=True, text=True,
                                  check=True).stdout.split()

    def test_cases_count(self):
        stdout = "[ RUN      ] A.a\n[       OK ] A.a (0 ms)\n[  FAILED  ] A.b (3 ms)\n[  SKIPPED ] A.c (0 ms)\n"
        summary = "[  FAILED  ] 1 test, listed below:\n[  FAILED  ] A.b\n"
        self.assertEqual(self.count({"result": "FAIL", "stdout": stdout + summary}), ["1", "1", "1"])

    def test_a_crash_is_a_failure(self):
        self.assertEqual(self.count({"result": "FAIL", "stdout": "[       OK ] A.a (0 ms)\n"}), ["1", "1", "0"])
        self.assertEqual(self.count({"result": "TIMEOUT", "stdout": ""}), ["0", "1", "0"])

    def test_planted_bugs_must_turn_red(self):
        red = {"result": "EXPECTEDFAIL", "stdout": "[  FAILED  ] A.a (0 ms)\n"}
        green = {"result": "UNEXPECTEDPASS", "stdout": "[       OK ] A.a (0 ms)\n"}
        self.assertEqual(self.count(red, red, green), ["2", "1", "0"])

    def test_other_programs_count_as_one(self):
        self.assertEqual(self.count({"result": "OK"}, {"result": "SKIP", "stdout": "x"}), ["1", "0", "1"])
        self.assertEqual(self.count(), ["0", "0", "0"])


if __name__ == "__main__":
    unittest.main()
