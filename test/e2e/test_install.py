"""What `make install` puts where, and whether it is whole: programs, units, completions, manual pages."""

import os
import re
import subprocess

import pytest
from apiserver import BIN
from cluster import ROOT

PROGRAMS = {"berthctl": 1, "berth-apiserver": 8, "berth-scheduler": 8, "berth-agent": 8, "berth-gateway": 8}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["make", "-C", ROOT, "--no-print-directory", f"BUILD={os.environ.get('BUILD', 'debug')}", "install",
                    f"DESTDIR={root}", "PREFIX=/opt/berth"], check=True, capture_output=True, timeout=500)
    return root


def manual(root, program):
    return root / f"opt/berth/share/man/man{PROGRAMS[program]}/{program}.{PROGRAMS[program]}"


def plain(root, program):
    """The page as it is read, without bold and underline."""
    text = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=300", manual(root, program)], check=True, text=True,
                          capture_output=True).stdout
    return re.sub(".\b", "", text)


def commands_of(program):
    """A program's commands: those of berthctl by its help, those of daemons by what their main() compares."""
    if program == "berthctl":
        text = subprocess.run([BIN / program, "--help"], check=True, text=True, capture_output=True).stdout
        return re.findall(r"^  ([a-z]+) ", text.split("Commands:")[1].split("Flags")[0], re.M)
    source = (ROOT / program.removeprefix("berth-") / "main.c").read_text()
    return [c for c in re.findall(r'streq\(argv\[1\], "([a-z]+)"\)', source) if c != "serve"]


def flags_of(*command):
    text = subprocess.run([BIN / command[0], *command[1:], "--help"], check=True, text=True, capture_output=True).stdout
    flags = re.findall(r"^  (?:-(.), |    )--([a-z-]+)", text, re.M)
    assert flags, text
    return [f for f in flags if f[1] not in ("help", "version")]


def test_programs_and_guest(installed):
    for program in PROGRAMS:
        r = subprocess.run([installed / "opt/berth/bin" / program, "--version"], text=True, capture_output=True, check=True)
        assert r.stdout.startswith(f"{program} ")
    assert (installed / "opt/berth/bin/kubectl-berth").resolve() == installed / "opt/berth/bin/berthctl"
    for name in ("vmlinux", "initramfs.cpio"):
        assert (installed / "opt/berth/lib/berth" / name).stat().st_size > 1_000_000


def test_units_start_what_was_installed(installed):
    units = sorted((installed / "etc/systemd/system").glob("*.service"))
    assert [u.stem for u in units] == ["berth-agent", "berth-apiserver", "berth-gateway", "berth-scheduler"]
    for unit in units:
        text = unit.read_text()
        assert f"ExecStart=/opt/berth/bin/{unit.stem} " in text and "/usr/local" not in text
        for path in re.findall(r"/opt/berth/\S+", text):
            assert (installed / path.lstrip("/")).exists(), path


@pytest.mark.parametrize("program", PROGRAMS)
def test_manual_pages_are_whole(installed, program):
    page = plain(installed, program)
    assert f"{program} - " in page
    for command in [None, *commands_of(program)]:
        if program == "berthctl" and command is None:
            continue
        words = [program] + ([command] if command else [])
        part = page
        if command:
            # init and issue, and the like: the part that begins with the command's own heading.
            found = re.split(rf"^   {program} {command}\b.*$", page, maxsplit=1, flags=re.M)
            assert len(found) == 2, f"{program} {command} is not in the page"
            part = re.split(rf"^   {program} |^[A-Z]", found[1], maxsplit=1, flags=re.M)[0]
            if program == "berthctl":
                part += page[page.index("FLAGS OF EVERY COMMAND"):]
        for letter, name in flags_of(*words):
            wanted = f"-{letter}, --{name}" if letter else f"--{name}"
            assert re.search(rf"^ +{re.escape(wanted)}( |$)", part, re.M), f"{words}: {wanted}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_manual_pages_are_clean(installed, program):
    r = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", manual(installed, program)], text=True, capture_output=True)
    assert r.returncode == 0 and r.stdout == "" and r.stderr == "", r.stdout + r.stderr
    r = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", manual(installed, program)], text=True,
                       capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
    assert r.returncode == 0 and r.stderr == ""


def test_completions_work(installed):
    share = installed / "opt/berth/share"
    bash = ('. {}; COMP_WORDS=(berthctl {}); COMP_CWORD={}; _berthctl; echo "${{COMPREPLY[*]}}"')

    def complete(words, at):
        return subprocess.run(["bash", "-c", bash.format(share / "bash-completion/completions/berthctl", words, at)], text=True,
                              check=True, capture_output=True).stdout.split()

    assert complete("de", 1) == ["describe", "deploy", "delete"]
    assert complete("deploy --re", 2) == ["--registry"]
    assert complete("get con", 2) == ["containers", "configmaps"]
    assert complete("explain pl", 2) == ["placement"]
    assert complete("why-not --out", 2) == ["--output"]
    zsh = share / "zsh/site-functions/_berthctl"
    assert zsh.read_text().startswith("#compdef berthctl\n")
    subprocess.run(["zsh", "-n", zsh], check=True)
    r = subprocess.run(["zsh", "-fc", f"fpath=({zsh.parent} $fpath); autoload -U compinit; compinit -D; "
                        "echo $_comps[berthctl]; autoload +X _berthctl; whence -w _berthctl"], text=True, check=True,
                       capture_output=True)
    assert r.stdout == "_berthctl\n_berthctl: function\n", r.stdout + r.stderr
    fish = (share / "fish/vendor_completions.d/berthctl.fish").read_text()
    assert "-a deploy " in fish and "-l force-conflicts" in fish
