"""The runner itself: what is wrong with a page fails, with the file, the line and what was printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from compare import is_match
from pages import PageError, read_page
from scenario import PageFailed, Scenario
from shell import Shell, commands_of

Execute = Callable[[str], None]


@pytest.fixture
def execute(tmp_path: Path) -> Execute:
    """Executes the text of a page in a shell of this machine, in a folder of its own."""
    (tmp_path / "shell").mkdir()
    (tmp_path / "work").mkdir()

    def execute(text: str) -> None:
        file = tmp_path / "page.md"
        file.write_text(text)
        page = read_page(file, tmp_path)
        folder = tmp_path / "shell"
        shell = Shell(["env", f"--chdir={tmp_path / 'work'}"], folder, str(folder))
        try:
            Scenario(page, shell).run()
        finally:
            shell.close()

    return execute


def refused(execute: Execute, text: str) -> str:
    with pytest.raises((PageError, PageFailed)) as caught:
        execute(text)
    return str(caught.value)


GOOD = """
Make a file:

```sh
name=one
cat > $name <<END
  two
END
# a comment
wc -w \\
    < one
```
```text
1
```

It keeps its name, and its content:

```sh
ls && cat $name
```
```text
one
…
```

<!-- test: file=three.toml -->
```toml
# three.toml
four = 4
```

```python
print(open("three.toml").read().split()[-1])
```
```text
4
```
1. In a list:

   ```sh
   pwd
   ```

<!-- test: exit=3 -->
```sh
true
(exit 3)
```
<!-- test: run
[ -e three.toml ]
-->
<!-- test: through="sh -s 5" -->
```sql
echo $1
```

What is not shown prints nothing that is:

```sh
echo shown
```
<!-- test: run
echo hidden
-->
<!-- test: prints -->
```text
shown
```

This is json:

<!-- test: replace="ID=>7" -->
```sh
echo '{"id": ID,   "at": "2026-11-29T19:00:00.5Z"}'
```
```json
{"id":7,
 "at":"2025-01-01T00:00:00.123456Z"}
```
"""


def test_a_good_page_passes(execute: Execute) -> None:
    execute(GOOD)


def test_the_example_of_the_convention_is_a_page(tmp_path: Path) -> None:
    readme = Path(__file__).with_name("README.md")
    (example,) = (block for block in read_page(readme, readme.parent).blocks if block.language == "markdown")
    file = tmp_path / "example.md"
    file.write_text(example.text)
    assert [block.language for block in read_page(file, tmp_path).blocks] == ["sh", "sh", "text", "nginx"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "```sh\necho one\nls /none\n```\n",
            "page.md:3: failed with exit status 2\n    ls /none\nIt printed:\n    ls: cannot access '/none'",
        ),
        (
            "```sh\necho one\n```\n```text\ntwo\n```\n",
            "page.md:5: this is not what was printed\nThe page shows:\n    two\nIt printed:\n    one",
        ),
        ("```sh\nfalse | true\n```\n", "page.md:2: failed with exit status 1"),
        ("```sh\nexit 4\n```\n", "page.md:2: failed with exit status 4"),
        ("```sh\nfor i in 1 2; do ls /none$i; done\n```\n", "page.md:2: failed with exit status 2"),
        ("```sh\necho 'one\n```\n", "page.md:2: failed with exit status"),
        ("<!-- test: exit=3 -->\n```sh\n(exit 4)\n```\n", "page.md:3: ended not with 3 but with 4"),
        ("<!-- test: exit=3 -->\n```sh\nfalse\n(exit 3)\n```\n", "page.md:3: failed with exit status 1\n    false"),
        ("<!-- test: limit=1 -->\n```sh\necho one\nsleep 60\n```\n", "page.md:4: had not ended after 1 s\n    sleep 60"),
        ("\n```python\n\nraise ValueError('one')\n```\n", "line 4, in <module>\n        raise ValueError('one')"),
        (
            "<!-- test: background until=ready limit=1 -->\n```sh\necho one; sleep 60\n```\n",
            "page.md:3: has not printed 'ready' within 1 s\n    echo one; sleep 60\nIt printed:\n    one",
        ),
        (
            "<!-- test: background until=ready -->\n```sh\necho one; false\n```\n",
            "page.md:3: has not printed 'ready', and has ended with exit status 1",
        ),
        (
            "<!-- test: background until=one limit=1 -->\n```sh\necho one; sleep 60\n```\n```text\ntwo\n```\n",
            "page.md:6: this is not what was printed\nThe page shows:\n    two\nIt printed:\n    one",
        ),
        ("<!-- test: interrupt -->\n", "page.md:1: there is nothing in the background"),
        ("<!-- test: page limit=1 -->\n```sh\nsleep 60\n```\n", "page.md:3: had not ended after 1 s"),
        ("<!-- test: run\ntrue\nfalse\n-->\n", "page.md:3: failed with exit status 1"),
        ("<!-- test: through=false -->\n```sql\nselect\n```\n", "page.md:3: failed with exit status 1"),
    ],
)
def test_a_command_that_is_wrong_fails_its_page(execute: Execute, text: str, message: str) -> None:
    assert message in refused(execute, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("One:\n\n    ls\n", "page.md:3: a block that is made by indentation"),
        ("1. One:\n\n       ls\n", "page.md:3: a block that is made by indentation"),
        ("One:\n\n\tls\n", "page.md:3: a block that is made by indentation"),
        ("```\nls\n```\n", "page.md:1: a block without a language"),
        ("```bash\nls\n```\n", "page.md:1: a block of bash needs a directive"),
        ("```sh\nls\n", "page.md:1: this block has no end"),
        ("<!-- test: backgroud -->\n```sh\nls\n```\n", "page.md:1: 'backgroud' is no directive"),
        ("<!-- test: exit=1\n```sh\nls\n```\n", "page.md:1: this directive has no end"),
        ("<!-- test: exit=one -->\n```sh\nls\n```\n", "page.md:1: exit=one is no number"),
        ("<!-- test: exit -->\n```sh\nls\n```\n", "page.md:1: exit has a value"),
        ("<!-- test: exit=1 exit=2 -->\n```sh\nls\n```\n", "page.md:1: exit stands here twice"),
        ("<!-- test: until=one -->\n```sh\nls\n```\n", "page.md:1: until=… is for what goes on"),
        ("<!-- test: not-run -->\n```sh\nls\n```\n", "page.md:1: not-run and because=… stand together"),
        ("<!-- test: exit=1 -->\n\nText\n```sh\nls\n```\n", "page.md:1: a directive stands right before its block"),
        ("<!-- test: exit=1 -->\n", "page.md:1: there is no block behind"),
        ("<!-- test: exit=1 -->\n```text\nls\n```\n", "page.md:1: exit is for commands"),
        ("<!-- test: prints -->\n```toml\na = 1\n```\n", "page.md:1: what is printed is text or json"),
        ("<!-- test: file=/etc/one -->\n```ini\none\n```\n", "page.md:1: the page does not tell its readers"),
        ("<!-- test: file=a through=b -->\n```sql\na\n```\n", "page.md:1: file and through contradict"),
        ("<!-- test: replace=one=>two -->\n```sh\nls\n```\n", "page.md:1: there is no 'one' in this block"),
        ("<!-- test: by=other -->\n```sh\nrm one\n```\n", "page.md:3: other does not execute 'rm one'"),
        ("<!-- test: by=none -->\n```sh\nls\n```\n", "page.md:1: there is no file none"),
        ("<!-- test: page on=mars -->\n", "page.md:1: on=mars is not one of machine, host"),
        ("<!-- test: page off=host -->\n", "page.md:1: 'off' is nothing that can be said of a page"),
        ("```sh\nls\n```\n<!-- test: page on=host -->\n", "page.md:4: what is said of the page stands before its first block"),
        ('<!-- test: because="one -->\n', "page.md:1: this directive cannot be read"),
        ("<!-- test: run -->\n", "page.md:1: run has no commands"),
        ('```json\n{"a": }\n```\n', "page.md:1: this json is not well-formed"),
        ("```toml\na = \n```\n", "page.md:1: this toml is not well-formed"),
        ("```yaml\na: [\n```\n", "page.md:1: this yaml is not well-formed"),
    ],
)
def test_a_page_of_which_nobody_knows_what_to_do_is_refused(execute: Execute, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "other").write_text("rm one-by-one\nrm two\n")
    assert message in refused(execute, text)


def test_what_another_file_executes_is_not_executed(execute: Execute, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("rm one-by-one\nrm two\n")
    execute("<!-- test: by=other -->\n```sh\nrm two    # with a comment\n```\n")


@pytest.mark.parametrize(
    ("language", "shown", "printed", "matches"),
    [
        ("text", "a  \nb", "a\nb\n", True),
        ("text", "a\nb", "a\nb\nc", False),
        ("text", "a\n…", "a\nb\nc", True),
        ("text", "a\n…", "a", True),
        ("text", "a\n…", "ab", False),
        ("text", "…\nb", "b", True),
        ("text", "…\nb", "a\nb", True),
        ("text", "…\nb", "ab", False),
        ("text", "a\n…\nb", "a\nb", True),
        ("text", "a…c", "abbc", True),
        ("text", "a.c", "abc", False),
        ("text", "at 2026-11-22 19:23:01", "at 2031-01-01 00:00:00", True),
        ("text", "at 2026-11-22 19:23:01", "at 2031-01-01T00:00:00Z", False),
        ("text", "2026-11-22T19:23:01.621614+00:00", "2031-01-01T00:00:00.5+00:00", True),
        ("text", "de305d54-75b4-431b-adb2-eb6b9e546013 x", "00000000-0000-4000-8000-000000000000 x", True),
        ("text", "took 0.4 s", "took 12.75 s", True),
        ("text", "took 4 s", "took 5 s", False),
        ("text", "version 1.2.3", "version 1.2.4", False),
        ("json", '{"a": "b c",\n "d": 1}', '{"a":"b c","d":1}', True),
        ("json", '{"a": "b c"}', '{"a":"bc"}', False),
        ("json", '{"a": 1, …}', '{"a":1,"b":[2]}', True),
        ("json", '{"a": 1}', '{"a":1,"b":2}', False),
    ],
)
def test_what_is_shown_is_compared(language: str, shown: str, printed: str, matches: bool) -> None:
    assert is_match(language, shown, printed) is matches


def test_a_block_is_taken_apart_into_commands() -> None:
    text = "cd one &&\n    ls\n\n# a comment\ncat <<'END'\nit's\nEND\nfor i in 1 2; do\n  echo $i\ndone\ncurl a \\\n  b -d '{\n}'\n"
    assert [line for line, _ in commands_of(text)] == [0, 4, 7, 10]


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def waited_for(is_true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if is_true():
            return True
        time.sleep(0.02)
    return False


BACKGROUND = """
<!-- test: background until=begun -->
```sh
trap 'echo ended; exit 0' INT; echo $$ $BASHPID > pids; echo begun; while :; do sleep 0.1; done
```
```text
begun
```
"""


def test_what_goes_on_is_interrupted(execute: Execute) -> None:
    execute(BACKGROUND + "<!-- test: interrupt -->\n<!-- test: prints -->\n```text\nbegun\nended\n```\n")


def test_nothing_goes_on_when_the_page_has_ended(execute: Execute, tmp_path: Path) -> None:
    execute(BACKGROUND)
    for pid in (tmp_path / "work/pids").read_text().split():
        assert waited_for(partial(has_ended, int(pid)))
    assert "page.md:10: failed" in refused(execute, BACKGROUND + "```sh\nfalse\n```\n")
    for pid in (tmp_path / "work/pids").read_text().split():
        assert waited_for(partial(has_ended, int(pid)))


def test_what_goes_on_may_not_end_with_an_error(execute: Execute) -> None:
    text = "<!-- test: background until=one -->\n```sh\necho one; read < go; false\n```\n```sh\ntrue\n```\n"
    told = refused(execute, "```sh\nmkfifo go\n```\n" + text + "```sh\necho > go\nwhile pgrep -P $$ -x bash; do sleep 0.1; done\n```\n")
    assert "page.md:6: ended with exit status 1 before the page did" in told
