"""What is wrong with a document: where, what, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that dstack would refuse. `key` is its place, such as `service.env.HF_TOKEN`."""

    key: str
    text: str
    remedy: str = ""

    @property
    def place_and_text(self) -> str:
        """The key and what is wrong there, on one line."""
        return " ".join(f"{self.key}: {self.text}".split())

    def __str__(self) -> str:
        return f"{self.place_and_text}; {self.remedy}" if self.remedy else self.place_and_text
