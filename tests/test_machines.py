"""The GPUs, their prices, and the machines to guess from: models/machines.yml."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, model_validator

import machine_rooms
from template_catalogue import machines
from template_guess import MACHINES
from tests.rendered import rendered


def test_guesses_and_sizing_know_the_same_cards() -> None:
    """`inv size` computes with the very cards that the template guessed with."""
    known = json.loads(rendered("capacity/cards.json", "Qwen/Qwen3-8B"))
    assert known == [{"name": card["name"], "gib": card["gib"]} for card in machines("cards")]


class Card(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    memory: int
    gib: float
    capability: float

    @model_validator(mode="after")
    def check(self) -> Card:
        assert 0.9 < self.gib / self.memory < 1, "torch sees less than a card is sold with, and not much less"
        return self


def test_every_machine_to_guess_from_has_a_card_and_a_price() -> None:
    sizes = {Card.model_validate(card).memory for card in machines("cards")}
    assert {machine["memory"] for machine in machines("machines")} <= sizes & machines("prices").keys()
    total = [machine["memory"] * machine["count"] for machine in machines("machines")]
    assert total == sorted(total), "the smallest machine comes first"


def test_the_room_on_each_machine_is_what_inv_size_computes() -> None:
    written = MACHINES.read_text("utf-8").split(machine_rooms.MARKS[0])[1].split(machine_rooms.MARKS[1])[0]
    assert written == machine_rooms.rooms(), "`inv record --tables` writes it again"


def test_a_larger_machine_has_more_room() -> None:
    rooms = [machine["room_gib"] for machine in machines("machines")]
    assert rooms == sorted(rooms)
    for machine in machines("machines"):
        assert 0.7 < machine["room_gib"] * 2**30 / (machine["memory"] * machine["count"] * 1e9) < 1
