"""The way from GRID sentences to dubs: words, phones, time maps, the plan and the index."""

from pathlib import Path

import numpy as np
import pytest

from mdth.errors import InputError, UnreadableMedia
from tests.support.raising import raises
from training import dub, dub_map, grid_phones
from training.dub_map import Dub
from training.grid_phones import WordPhone
from training.kokoro_times import Phone

# "Bin blue at F two now", spoken by Kokoro's bm_george: made by `training.kokoro say`.
SPOKEN = Path(__file__).parents[1] / "data/bbaf2n.wav"


def phones(text: str, *, start_s: float = 0.5, each_s: float = 0.1) -> list[WordPhone]:
    """`B IH|N AW|- L` : words parted by |, a pause of 0.1 s as -; silence around."""
    found, now_s = [WordPhone("SIL", 0.0, start_s, -1)], start_s
    for index, word in enumerate(text.split("|")):
        for name in word.split():
            silent = name == "-"
            label, owner = ("SIL", -1) if silent else (name, index)
            found.append(WordPhone(label, now_s, now_s + each_s, owner))
            now_s += each_s
    return [*found, WordPhone("SIL", now_s, now_s + start_s, -1)]


def test_a_clip_name_is_a_sentence() -> None:
    assert grid_phones.sentence("lwbzzs") == ["lay", "white", "by", "letter-z", "zero", "soon"]
    assert grid_phones.sentence("pwij3p") == ["place", "white", "in", "letter-j", "three", "please"]


@pytest.mark.parametrize("name", ["bbaf2", "bbaf2nx", "xbaf2n", "bba42n"])
def test_another_name_is_refused(name: str) -> None:
    raises(InputError, name, grid_phones.sentence, name)


def test_every_word_has_sounds() -> None:
    known = grid_phones.pronunciations()
    tables = (
        grid_phones.COMMANDS, grid_phones.COLOURS, grid_phones.PREPOSITIONS, grid_phones.LETTERS,
        grid_phones.DIGITS, grid_phones.ADVERBS,
    )  # fmt: skip
    words = [word for table in tables for word in table.values()]
    assert sorted(words) == sorted(known)
    assert len(known) == 51


def test_words_are_found_again_in_a_table_of_phones() -> None:
    said = phones("S EH T|W AY T|W IH TH|AA|F AO|AH G EY N")
    without = [phone._replace(word=-1) for phone in said]
    assert grid_phones.with_words(without, grid_phones.sentence("swwr4a")) == said
    raises(ValueError, "is not", grid_phones.with_words, without, grid_phones.sentence("swwr5a"))


def test_the_aligner_hears_what_the_synthesizer_says() -> None:
    pytest.importorskip("pocketsphinx")
    heard = grid_phones.Aligner().align(
        grid_phones.read_sound(SPOKEN), grid_phones.sentence("bbaf2n")
    )
    rows = [line.split() for line in SPOKEN.with_suffix(".tsv").read_text("utf-8").splitlines()[1:]]
    table = [Phone(name, float(start), float(end)) for name, start, end in rows]
    said = dub.with_words(table, ["bˈɪn", "blˈu", "æt", "ˈɛf", "tˈu", "nˈW"])
    differences_s = np.abs(dub.onset_differences(said, heard))
    assert np.median(differences_s) < 0.04
    assert differences_s.max() < 0.12  # the hush before a T is a pause to one, a T to the other
    assert all(a.end_s == pytest.approx(b.start_s) for a, b in zip(heard, heard[1:], strict=False))
    assert heard[0].start_s == 0.0


def test_the_aligner_refuses_noise_that_is_no_speech() -> None:
    pytest.importorskip("pocketsphinx")
    with pytest.raises(UnreadableMedia, match="bin blue"):
        grid_phones.Aligner().align(np.zeros(800, np.float32), grid_phones.sentence("bbaf2n"))


def test_kokoro_phones_know_their_words() -> None:
    spelled = ["bˈɪn", "blˈuː"]
    said = [Phone(name, i / 10, i / 10 + 0.1) for i, name in enumerate("SIL B IH N B L UW".split())]
    assert [p.word for p in dub.with_words(said, spelled)] == [-1, 0, 0, 0, 1, 1, 1]


def test_the_map_brings_each_phone_to_its_own() -> None:
    here, there = phones("B IH N|B L UW"), phones("B IH N|B L UW", start_s=0.8, each_s=0.15)
    here_s, there_s = dub_map.time_map(here, there)
    onsets = [[p.start_s for p in side] + [side[-1].end_s] for side in (here, there)]
    assert np.interp(onsets[0], here_s, there_s) == pytest.approx(onsets[1], abs=1e-3)


def test_a_phone_that_one_side_lacks_moves_no_other() -> None:
    here, there = phones("F AO R|F AY V"), phones("F AO|F AY V", each_s=0.2)
    here_s, there_s = dub_map.time_map(here, there)
    onset_s = [next(p.start_s for p in side if p.phone == "AY") for side in (here, there)]
    assert np.interp(onset_s[0], here_s, there_s) == pytest.approx(onset_s[1], abs=1e-3)


def test_knots_rise_by_no_less_than_the_gap() -> None:
    crowded = phones("B IH N|B L UW", each_s=0.006)
    for knots in dub_map.time_map(crowded, phones("B IH N|B L UW")):
        assert np.diff(knots).min() > dub_map.KNOT_GAP_S - 1e-4


def test_a_pause_inside_has_no_map() -> None:
    raises(InputError, "0.20 s", dub_map.time_map, phones("B|- B", each_s=0.2), phones("B|B"))


def test_levels_meet_along_the_right_map_only() -> None:
    random = np.random.default_rng(0)
    loudness = np.repeat(random.uniform(0.01, 1.0, 20), 1600)
    real = (loudness * random.normal(0.0, 0.1, len(loudness))).astype(np.float32)
    fast = np.concatenate([real[:16000:2], real[16000:]])
    right = Dub("", "", "", [0.0, 0.1, 0.5, 1.4, 1.5], [0.0, 0.2, 1.0, 1.9, 2.0])
    along, even = dub_map.level_match(right, fast, real)
    assert along > 0.9
    assert even < along - 0.2


def test_every_clip_is_planned_once_before_any_again() -> None:
    clips = [f"clip{i}" for i in range(30)]
    made = [dub.plan(number, clips, ["af_a", "bm_b", "am_c"], 5) for number in range(30)]
    assert sorted(clip for clip, _, _ in made) == sorted(clips)
    assert made[7] == dub.plan(7, clips, ["af_a", "bm_b", "am_c"], 5)
    assert len({voice for _, voice, _ in made}) > 10
    assert all(dub.SPEEDS[0] <= speed <= dub.SPEEDS[1] for _, _, speed in made)


def test_the_last_tenth_is_not_for_training(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02d}.mp4").touch()
    assert dub.training_clips(tmp_path) == [f"{number:02d}" for number in range(18)]


def test_the_index_comes_back_as_written(tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    assert dub_map.read_index(index) == []
    dubs = [Dub("0001.wav", "bbaf2n", "af_a:0.5,bm_b:0.50", [0.0, 0.5], [0.0, 0.75])]
    dub_map.write_index(index, dubs)
    assert dub_map.read_index(index) == dubs
    assert list(tmp_path.iterdir()) == [index]
    index.write_text('[{"wav": "0001.wav"}]', encoding="utf-8")
    raises(UnreadableMedia, r"index\.json", dub_map.read_index, index)
