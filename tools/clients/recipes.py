"""Pages of docs/ as programs.

A recipe is a fenced block. Blocks of one language that follow each other are one program, as for a reader who pastes one
after the other into the same shell or script. What a block prints is the `text` or `json` block right after it; there
`…` stands for what differs from run to run. A `toml` block is put into reasonedit.toml and the service started again
with it, on the same codebooks. An `html` block is a page that is served by itself and used in a browser. A `mermaid` block
is a drawing: nothing runs it, and nothing prints it.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = {"sh", "python", "js", "html"}
PRINTED = {"text", "json"}
SETTINGS = {"toml"}
DRAWN = {"mermaid"}


@dataclass
class Block:
    """A fenced block: its language, its text and the line it begins on."""

    language: str
    text: str
    line: int
    printed: str | None = None


@dataclass
class Step:
    """Blocks that belong together: a program, or the settings of the service from there on."""

    language: str
    blocks: list[Block] = field(default_factory=list)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, each with what it prints."""
    found: list[Block] = []
    opened: Block | None = None
    between = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"^```(.*)$", line)
        if opened is not None:
            if not fence:
                opened.text += line + "\n"
            elif fence[1].strip():
                raise ValueError(f"{page.name}:{number}: a block begins inside of another")
            elif opened.language in PRINTED:
                if between or not found or found[-1].printed is not None:
                    raise ValueError(f"{page.name}:{opened.line}: nothing prints this")
                found[-1].printed, opened = opened.text, None
            elif opened.language in DRAWN:
                opened, between = None, True
            else:
                found.append(opened)
                opened, between = None, False
        elif fence:
            language = fence[1].strip()
            if language not in PROGRAMS | PRINTED | SETTINGS | DRAWN:
                raise ValueError(f"{page.name}:{number}: no recipe is written in {language or 'no language'!r}")
            opened = Block(language, "", number + 1)
        elif re.match(r"\s+```", line):
            raise ValueError(f"{page.name}:{number}: a recipe begins at the margin")
        elif line.strip():
            between = True
    if opened is not None:
        raise ValueError(f"{page.name}:{opened.line}: the block never ends")
    return found


def steps(page: Path) -> list[Step]:
    """The programs and settings of a page, in order."""
    made: list[Step] = []
    for block in blocks(page):
        if not made or made[-1].language != block.language or block.language in SETTINGS | {"html"}:
            made.append(Step(block.language))
        made[-1].blocks.append(block)
    return made


def matches(printed: str, expected: str) -> bool:
    """Whether that was printed; `…` stands for anything, spaces at the ends of lines for nothing."""
    def tidy(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip().splitlines())

    pattern = ".*?".join(re.escape(part) for part in tidy(expected).split("…"))
    return re.fullmatch(pattern, tidy(printed), re.DOTALL) is not None


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
