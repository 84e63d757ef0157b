"""The policies choose what their names say, within a day's quota."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nhan.settings import UploadSettings
from nhan.uploads.sampling import DISAGREEMENT, Look, Sampler, usefulness

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
USUAL = Look("text", "anh", 0.99, 320, 32, 0.8, 2000)


def sampler(state=None, **settings) -> Sampler:
    quiet = {"random_share": 0.0, "low_confidence": 0.0, **settings}
    return Sampler(UploadSettings(**quiet), state, chance=random.Random(0))


def warmed(**settings) -> Sampler:
    one = sampler(**settings)
    chance = random.Random(0)
    for _ in range(300):
        look = replace(USUAL, width=chance.randrange(250, 400), brightness=chance.uniform(0.7, 0.9))
        assert one.choose(look, NOON)[0] == ""
    return one


def test_a_random_share_whatever_the_answer():
    one = sampler(random_share=0.1, random_a_day=10**6)
    chosen = sum(one.choose(USUAL, NOON)[0] == "random" for _ in range(5000))
    assert 400 < chosen < 600


def test_chance_comes_first_so_that_its_share_is_unbiased():
    one = sampler(random_share=1.0, random_a_day=10**6, low_confidence=1.0)
    assert {one.choose(replace(USUAL, confidence=0.1), NOON)[0] for _ in range(50)} == {"random"}


def test_low_confidence():
    one = sampler(low_confidence=0.7)
    assert one.choose(replace(USUAL, confidence=0.69), NOON)[0] == "low_confidence"
    assert one.choose(replace(USUAL, confidence=0.71), NOON)[0] == ""


def test_a_quota_lasts_a_day_and_a_restart():
    one = sampler(low_confidence=1.0, low_confidence_a_day=3)
    unsure = replace(USUAL, confidence=0.1)
    assert [one.choose(unsure, NOON)[0] for _ in range(5)].count("low_confidence") == 3
    again = sampler(one.to_json(), low_confidence=1.0, low_confidence_a_day=3)
    assert again.choose(unsure, NOON)[0] == ""
    assert again.choose(unsure, NOON + timedelta(days=1))[0] == "low_confidence"


def test_a_policy_without_quota_leaves_the_upload_to_the_next():
    one = sampler(random_share=1.0, random_a_day=0, low_confidence=1.0)
    assert one.choose(replace(USUAL, confidence=0.1), NOON)[0] == "low_confidence"


def test_a_character_hardly_ever_answered_is_new_for_a_while():
    one = warmed(rare_below=3)
    answers = [one.choose(replace(USUAL, value="anh ơ"), NOON)[0] for _ in range(5)]
    assert answers == ["new_content"] * 3 + ["", ""]


def test_a_class_hardly_ever_answered_is_new_as_a_whole():
    one = sampler(rare_below=1)
    rose = replace(USUAL, task="classes", value="rose")
    for _ in range(200):
        one.choose(rose, NOON)
    assert one.choose(replace(rose, value="sore"), NOON)[0] == "new_content"
    assert one.choose(replace(rose, value="sore"), NOON)[0] == ""


def test_nothing_is_new_before_anything_is_usual():
    one = sampler()
    assert {one.choose(replace(USUAL, value=str(n)), NOON)[0] for n in range(100)} == {""}


def test_strange_pictures_are_novel():
    one = warmed()
    for change in ({"brightness": 0.05}, {"height": 900}, {"size_bytes": 90_000}):
        policy, novelty = one.choose(replace(USUAL, **change), NOON)
        assert policy == "novelty", change
        assert novelty > 0.5
    assert one.choose(USUAL, NOON)[1] < 0.4


def test_what_comes_often_becomes_usual():
    one = warmed(novelty_a_day=10**6)
    dark = replace(USUAL, brightness=0.2)
    policies = [one.choose(dark, NOON)[0] for _ in range(400)]
    assert policies[0] == "novelty"
    assert policies[-1] == ""


def test_state_survives_a_restart_and_damage():
    one = warmed()
    again = sampler(one.to_json())
    assert again.choose(replace(USUAL, height=900), NOON)[0] == "novelty"
    broken = sampler({"usual": {"text": 7}, "today": {"random": "x"}})
    assert broken.choose(USUAL, NOON) == ("", 0.0)


def test_disagreements_have_a_quota_too():
    one = sampler(disagreement_a_day=1)
    assert [one.take(DISAGREEMENT, NOON) for _ in range(2)] == [True, False]


def test_usefulness_is_uncertainty_times_novelty():
    assert usefulness(0.2, 1.0, "") > usefulness(0.2, 0.0, "") > usefulness(0.9, 0.0, "")
    assert usefulness(1.0, 0.0, "disagreement") > usefulness(1.0, 0.0, "random") > 0
