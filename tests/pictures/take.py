#!/usr/bin/env python3
"""Takes the pictures of `kapell top` for the README: the real screen, in tmux, as SVG.

    python3 tests/pictures/take.py PROGRAM [FOLDER]

PROGRAM is a built kapell; the scene (three plans in two repositories, scripted workers) is made below a folder of
its own, with a home, a state folder and a tmux server of its own, and taken away at the end.
"""

import html
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

COLUMNS, ROWS = 118, 34
CELL, LINE, SIZE = 8.4, 18, 14
HERE = Path(__file__).resolve().parent

# Ground, text, and the sixteen colours of a common terminal, on dark and on light.
PALETTES = {
    "dark": ("#14171c", "#d6dbe3", """#30363f #e06c75 #7fc47f #d8b66b #6ea8e8 #c58ad9 #63bfc7 #c8ced8
        #7a8290 #f2858e #9bdc9b #efd08a #8fc1f7 #daa6ec #86d9e0 #f4f6fa""".split()),
    "light": ("#fcfcfa", "#24292f", """#24292f #c2272d #1b7d36 #8a6100 #1f5fc4 #8c2fa8 #0f7080 #9aa0a8
        #6b727b #d63a40 #24913f #a57400 #3273dc #a445c0 #188899 #ffffff""".split()),
}

WORKER = r"""
import json, os, sys, time
say = lambda **fields: print(json.dumps(fields), flush=True)
task, files = os.environ["KAPELL_TASK"], json.loads(os.environ["KAPELL_FILES"])
lines = {
    "schema": ["Adds the table of sessions", "Writes the migration"],
    "mail": ["Composes the message", "Sends it by the queue"],
    "api": ["Reads src/schema.sql", "Adds POST /login", "Runs the tests: 14 passed"],
    "login": ["Looks at the form", "Adds the field for the code"],
    "index": ["Splits words at capitals", "Builds the index of 4 files"],
    "rank": ["Weighs titles twice"],
    "guide": ["Writes the first chapter"],
    "terms": ["Collects the words"],
}.get(task, ["Works"])
for number, line in enumerate(lines):
    say(kapell="progress", text=line)
    say(kapell="usage", input_tokens=9000 * (number + 1), output_tokens=900, usd=round(0.11 * (number + 1), 2))
    time.sleep(0.3)
path = files[0]
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "a") as file:
    file.write(task + "\n")
if task not in ("schema", "mail", "terms"):
    time.sleep(600)
"""

CONFIG = """
[machine]
max_workers = 6
[rules]
tdd = false
spec_first = false
[failover]
chain = ["claude", "codex"]
[providers.claude]
kind = "command"
command = {worker}
max_parallel = 4
[providers.codex]
kind = "command"
command = {worker}
max_parallel = 4
[workers.claude1]
provider = "claude"
[workers.claude2]
provider = "claude"
[workers.codex1]
provider = "codex"
[workers.codex2]
provider = "codex"
"""


class Scene:
    """Everything that is to be seen."""

    def __init__(self, program, root):
        self.program, self.root = str(Path(program).resolve()), root
        (root / "home").mkdir()
        (root / "worker.py").write_text(WORKER)
        worker = json.dumps([sys.executable, str(root / "worker.py")])
        (root / "config.toml").write_text(CONFIG.replace("{worker}", worker))
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(root / "home"), "LANG": "C.UTF-8",
            "KAPELL_HOME": str(root / "state"), "KAPELL_CONFIG": str(root / "config.toml"),
            "TMUX_TMPDIR": str(root), "OLLAMA_HOST": "127.0.0.1:1", "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.shop, self.site = self.repository("shop"), self.repository("site")

    def run(self, words, folder=None, check=True):
        done = subprocess.run(words, cwd=folder or self.root, env=self.environment, capture_output=True, text=True)
        if check and done.returncode:
            raise SystemExit(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def repository(self, name):
        folder = self.root / "ada" / name
        folder.mkdir(parents=True)
        (folder / "README").write_text(name + "\n")
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
            self.run(["git", *identity, *words], folder)
        return folder

    def kapell(self, folder, *words):
        return json.loads(self.run([self.program, *words, "--json"], folder))

    def start(self, folder, name, tasks):
        plan = {"name": name, "tasks": [
            {"id": id, "task": text, "files": [file], "agent": who, "depends_on": after}
            for id, text, file, who, after in tasks]}
        file = self.root / f"{name}.json"
        file.write_text(json.dumps(plan))
        return self.kapell(folder, "run", str(file), "--detach")

    def wait(self, folder, scope, is_so):
        for _ in range(600):
            status = self.kapell(folder, "status", *scope)
            if is_so(status):
                return
            time.sleep(0.1)
        raise SystemExit(f"not so: {status}")

    def play(self):
        auth = self.start(self.shop, "auth", [
            ("schema", "Tables for sessions", "src/schema.sql", "codex1", []),
            ("mail", "Send the links", "src/mail.py", "claude2", []),
            ("api", "The routes", "src/api", "codex2", ["schema"]),
            ("login", "The form", "src/login.py", "claude1", ["mail"]),
            ("audit", "Who signed in when", "src/audit.py", "claude2", ["api", "login"]),
            ("docs", "How to sign in", "docs/sign-in.md", "codex1", ["login"])])["plan_id"]
        self.wait(self.shop, ["--scope", "plan", "--id", auth], lambda it: it["done"] == 2 and it["running"] == 2)
        docs = self.start(self.site, "docs", [
            ("terms", "The words we use", "terms.md", "codex1", []),
            ("guide", "The guide", "guide.md", "claude2", []),
            ("proof", "Read it all", "proof.md", "codex1", ["terms", "guide"])])
        of_docs = ["--scope", "plan", "--id", docs["plan_id"]]
        self.wait(self.site, of_docs, lambda it: it["done"] == 1 and it["running"] == 1)
        os.kill(docs["conductor"]["pid"], 9)
        search = self.start(self.shop, "search", [
            ("index", "Index the words", "src/index.py", "codex1", []),
            ("rank", "The best first", "src/rank.py", "claude2", ["index"]),
            ("page", "A page for it", "src/search.py", "codex1", ["rank"])])["plan_id"]
        self.wait(self.shop, ["--scope", "plan", "--id", search], lambda it: it["running"] == 1)
        self.run([self.program, "claim-files", "README", "--as", "ada", "--reason", "writing"], self.shop)

    def take(self, theme):
        server = ["tmux", "-u", "-L", "picture", "-f", "/dev/null"]
        command = f"{self.program} top --theme {theme}"
        self.run([*server, "new-session", "-d", "-s", "top", "-x", str(COLUMNS), "-y", str(ROWS), command], self.shop)
        try:
            time.sleep(1.5)
            # The plan with most to be seen.
            self.run([*server, "send-keys", "-t", "top", "Down", "Down"])
            time.sleep(1.5)
            return self.run([*server, "capture-pane", "-e", "-N", "-p", "-t", "top"])
        finally:
            self.run([*server, "kill-server"], check=False)

    def end(self):
        # Whoever died is taken up, so that its worker is ended too.
        self.run([self.program, "resume", "docs"], self.site, check=False)
        self.run([self.program, "shutdown-all", "--force"], self.shop, check=False)
        for _ in range(100):
            if not self.kapell(self.shop, "list")["conductors"]:
                break
            time.sleep(0.1)
        time.sleep(1)


def cells(screen):
    """The screen as lines of (letter, foreground, background, attributes)."""
    for line in screen.splitlines():
        fore, back, marks, out = None, None, set(), []
        for part in re.split(r"(\x1b\[[0-9;]*m)", line):
            found = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
            if not found:
                out.extend((letter, fore, back, frozenset(marks)) for letter in part)
                continue
            codes = [int(code or 0) for code in found[1].split(";")]
            while codes:
                code = codes.pop(0)
                if code == 0:
                    fore, back, marks = None, None, set()
                elif code in (1, 2, 4, 7):
                    marks.add(code)
                elif code == 22:
                    marks -= {1, 2}
                elif code in (24, 27):
                    marks.discard(code - 20)
                elif code in (38, 48) and codes[:1] == [5]:
                    value = codes[1]
                    codes = codes[2:]
                    fore, back = (value, back) if code == 38 else (fore, value)
                elif 30 <= code <= 37 or 90 <= code <= 97:
                    fore = code - 30 if code < 90 else code - 82
                elif 40 <= code <= 47 or 100 <= code <= 107:
                    back = code - 40 if code < 100 else code - 92
                elif code == 39:
                    fore = None
                elif code == 49:
                    back = None
        yield out


def svg(screen, theme):
    ground, text, colours = PALETTES[theme]
    shown = lambda colour, otherwise: otherwise if colour is None else colours[colour % 16]
    width, height = COLUMNS * CELL + 24, ROWS * LINE + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="{SIZE}">',
        f'<title>kapell top on a {theme} terminal</title>',
        f'<rect width="100%" height="100%" rx="8" fill="{ground}"/>',
    ]
    for row, line in enumerate(cells(screen)):
        column, y, runs = 0, 12 + row * LINE, []
        for letter, fore, back, marks in line:
            ink, paper = shown(fore, text), shown(back, None)
            if 7 in marks:
                ink, paper = paper or ground, ink
            look = (ink, paper, 1 in marks, 2 in marks, 4 in marks)
            wide = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
            if runs and runs[-1][1] == look:
                runs[-1][2] += letter
                runs[-1][3] += wide
            else:
                runs.append([column, look, letter, wide])
            column += wide
        for column, (ink, paper, bold, dim, under), letters, wide in runs:
            x, length = 12 + column * CELL, wide * CELL
            if paper:
                out.append(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{LINE}" fill="{paper}"/>')
            if not letters.strip():
                continue
            more = (' font-weight="bold"' if bold else "") + (' opacity=".6"' if dim else "")
            more += ' text-decoration="underline"' if under else ""
            out.append(
                f'<text x="{x:.1f}" y="{y + 13}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs" '
                f'xml:space="preserve" fill="{ink}"{more}>{html.escape(letters, quote=False)}</text>')
    return "\n".join([*out, "</svg>", ""])


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory(prefix="k", dir=sys.argv[2] if len(sys.argv) > 2 else "/tmp") as folder:
        scene = Scene(sys.argv[1], Path(folder).resolve())
        try:
            scene.play()
            for theme in PALETTES:
                # Where the scene lies is nobody's business.
                screen = scene.take(theme)
                drawn = svg(screen.replace(str(scene.root) + "/ada", "/home/ada"), theme)
                (HERE / f"top-{theme}.svg").write_text(drawn)
        finally:
            scene.end()


if __name__ == "__main__":
    main()
