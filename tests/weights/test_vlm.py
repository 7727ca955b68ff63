"""Nano's vision-language model: what it is told is true, and what it learns comes back from its folder."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from groundkit.language.objects import object_names
from groundkit.models.vision_language.llava import LlavaModel
from groundkit.pipelines.vlsam import ASK_FOR_QUESTIONS, QUESTIONS
from groundkit.weights.training import vlm
from groundkit.weights.training.captions import Mention
from groundkit.weights.training.scenes import DENSE, EASY, FULL
from groundkit.weights.training.vocabulary import COLOURS, NOUNS

TINY = {"vision": 64, "vision_layers": 2, "text": 64, "text_layers": 2}


@pytest.fixture(scope="module")
def scenes(maker):
    """The mentions of many scenes."""
    drawn = (maker.scene(seed, DENSE) for seed in range(60))
    return [[Mention.of(item) for item in scene.objects] for scene in drawn if scene.objects]


@pytest.fixture(scope="module")
def pictures(maker, tmp_path_factory) -> Path:
    """A file of eight pictures of 128x128, as pictures.py writes it."""
    drawn = [maker.scene(seed, EASY) for seed in range(8)]
    mentions = [[dataclasses.asdict(Mention.of(o)) for o in scene.objects] for scene in drawn]
    path = tmp_path_factory.mktemp("pictures") / "easy.pictures.pt"
    torch.save({"images": torch.from_numpy(np.stack([s.image for s in drawn])), "mentions": mentions}, path)
    return path


@pytest.fixture
def data(pictures, monkeypatch) -> vlm.Pictures:
    monkeypatch.setattr(vlm, "HELD_OUT", 2)
    return vlm.Pictures([pictures], vlm.build_tokenizer())


def described(name: str) -> tuple[str | None, str]:
    """Colour and noun of a name."""
    first, _, rest = name.partition(" ")
    return (first, rest) if first in COLOURS else (None, name)


def true_of(name: str, mentions: list[Mention]) -> list[Mention]:
    colour, noun = described(name)
    return [m for m in mentions if m.noun == noun and colour in (None, m.colour)]


def test_a_list_names_exactly_what_is_in_the_picture(scenes):
    rng = np.random.default_rng(0)
    orders = set()
    for mentions in scenes:
        for _ in range(5):
            question, answer = vlm.list_all(mentions, rng)
            assert question in vlm.LISTING
            names = [part.removeprefix("an ").removeprefix("a ") for part in answer.split(", ")]
            assert Counter(map(described, names)) == Counter((m.colour, m.noun) for m in mentions)
            assert vlm.nouns_in(answer) == Counter(m.noun for m in mentions)
            orders.add(answer)
    assert len(orders) > 2 * len(scenes)


def test_yes_is_true_and_no_is_not_and_both_are_as_frequent(scenes):
    rng = np.random.default_rng(0)
    answers: Counter[str] = Counter()
    near = coloured = 0
    for mentions in scenes * 20:
        question, answer = vlm.is_there(mentions, rng)
        verb, name = question.removesuffix("?").split(" there ")
        name = name.removeprefix("an ").removeprefix("a ")
        assert (verb == "Are") == (described(name)[1] in vlm.PLURAL)
        assert bool(true_of(name, mentions)) == (answer == "Yes.")
        answers[answer] += 1
        if answer == "No.":
            near += described(name)[1] in {m.noun for m in mentions}
        else:
            coloured += described(name)[0] is not None
    assert answers["Yes."] / answers.total() == pytest.approx(0.5, abs=0.05)
    assert near / answers["No."] == pytest.approx(0.5, abs=0.1)
    assert coloured / answers["Yes."] == pytest.approx(0.85 * vlm.COLOURED, abs=0.1)


def test_where_is_asked_of_one_object_or_of_nothing(scenes):
    rng = np.random.default_rng(0)
    absent = asked = 0
    for mentions in scenes * 10:
        talk = vlm.where_is(mentions, rng)
        if talk is None:
            continue
        question, answer = talk
        name = question.removeprefix("Where is the ").removesuffix("?")
        found = true_of(name, mentions)
        verb = "are" if described(name)[1] in vlm.PLURAL else "is"
        if found:
            assert len(found) == 1
            assert answer == f"The {name} {verb} {found[0].place}."
        else:
            assert answer == f"There {verb} no {name}."
        absent += not found
        asked += 1
    assert absent / asked == pytest.approx(vlm.ABSENT, abs=0.06)


def test_an_object_of_natural_colours_is_never_said_to_have_none_or_another():
    natural = Mention("lemon", None, 0.3, 0.2, 0.5)
    rng = np.random.default_rng(0)
    for _ in range(200):
        for talk in (vlm.converse([natural], rng), vlm.where_is([natural], rng)):
            assert talk is not None
            assert "None" not in " ".join(talk)
            assert not any(f"{colour} lemon" in talk[0] for colour in COLOURS)
    assert vlm.list_all([natural], rng)[1] == "a lemon"


def test_a_small_picture_is_a_part_of_the_frame_and_its_places_are_the_frames(data):
    corners = np.array([[0, 8], [8, 0]])
    _, places, mentions = data.read(0, np.array([0, 0]), corners)
    assert places.shape == (2, 64)
    assert places[:, 0].tolist() == [8, 8 * vlm.GRID]
    assert places[:, -1].tolist() == [7 * vlm.GRID + 15, 15 * vlm.GRID + 7]
    right_top, left_bottom = mentions
    for one, other in zip(right_top, left_bottom, strict=True):
        assert (one.x, one.y) == pytest.approx((other.x + 0.5, other.y - 0.5))
        assert one.place in ("on the right", "at the top", "in the middle")


def test_a_flipped_picture_has_its_objects_on_the_other_side(data):
    pixels, _, mentions = data.read(0, np.array([0]), np.zeros((1, 2), np.int64))
    flipped, _, others = data.read(0, np.array([0]), np.zeros((1, 2), np.int64), flipped=True)
    torch.testing.assert_close(flipped, pixels.flip(-1))
    assert [m.x for m in others[0]] == pytest.approx([0.5 - m.x for m in mentions[0]])


def test_a_whole_frame_is_read_as_llava_reads_it_and_no_conversation_sees_another():
    torch.manual_seed(0)
    processor = vlm.build_processor()
    tokenizer = processor.tokenizer
    model = vlm.build(len(tokenizer), **TINY).eval()
    image = np.random.default_rng(0).integers(0, 256, (vlm.SIZE, vlm.SIZE, 3), dtype=np.uint8)
    talks = [("Where is the red cup?", "The red cup is on the left."), (QUESTIONS[0], "a red cup, an orange egg")]
    batch = vlm.Batch(
        torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1,
        torch.arange(vlm.GRID**2)[None],
        *vlm.lay_out([talks], tokenizer),
    )
    with torch.no_grad():
        ours = vlm.answer_logits(model, batch)[0]
        for number, (question, answer) in enumerate(talks, start=1):
            user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
            said = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
            text = processor.apply_chat_template([user, said], tokenize=False)
            inputs = processor(images=[image], text=[text], return_tensors="pt")
            mine = batch.talks[0] == number
            assert inputs["input_ids"][0, 2 + vlm.GRID**2 :].tolist() == batch.ids[0, mine].tolist()
            theirs = model(**inputs).logits[0, 2 + vlm.GRID**2 :]
            torch.testing.assert_close(ours[mine], theirs, atol=2e-4, rtol=0)


def test_only_the_tokens_of_answers_are_learnt():
    tokenizer = vlm.build_tokenizer()
    rows = [[("Is there a cup?", "Yes."), ("Where is the cup?", "There is no cup.")], [("Is there a cup?", "No.")]]
    ids, labels, offsets, numbers, _ = vlm.lay_out(rows, tokenizer)
    learnt = labels != vlm.IGNORED
    assert tokenizer.decode(labels[0][learnt[0]]) == "yes.</s> there is no cup.</s>"
    assert tokenizer.decode(labels[1][learnt[1]]) == "no.</s>"
    follows = learnt[:, :-1]
    torch.testing.assert_close(labels[:, :-1][follows], ids[:, 1:][follows])
    assert (numbers[1] > 0).sum() == (ids[1] != vlm.PAD).sum()
    assert offsets[0][numbers[0] == 2].tolist() == list(range(int((numbers[0] == 2).sum())))
    logits = torch.full((*ids.shape, len(tokenizer)), float("nan"))
    logits[learnt] = 100.0 * torch.nn.functional.one_hot(labels[learnt], len(tokenizer)).float()
    assert vlm.answer_loss(logits, labels) == 0


def test_each_name_of_a_doubtful_list_is_judged_as_it_is(scenes):
    rng, seen = np.random.default_rng(0), Counter()
    for mentions in scenes:
        (_, answer), truths = vlm.doubtful(mentions, rng)
        names = [name.removeprefix("an ").removeprefix("a ") for name in answer.split(", ")]
        assert [bool(true_of(name, mentions)) for name in names] == truths
        seen.update(truths)
    assert 0.4 < seen[True] / seen.total() < 0.6


def test_of_a_doubtful_list_the_last_token_of_each_name_is_judged_and_nothing_learnt():
    tokenizer = vlm.build_tokenizer()
    rows = [[(QUESTIONS[0], "a red cup, a teddy bear, scissors"), ("Is there a cup?", "Yes.")]]
    ids, labels, _, numbers, truths = vlm.lay_out(rows, tokenizer, [[True, False, True]])
    judged = truths != vlm.IGNORED
    words = tokenizer.convert_ids_to_tokens(ids[judged])
    assert list(zip(words, truths[judged].tolist(), strict=True)) == [("▁cup", 1), ("▁bear", 0), ("▁scissors", 1)]
    assert (labels[numbers == 1] == vlm.IGNORED).all()
    assert tokenizer.decode(labels[labels != vlm.IGNORED]) == "yes.</s>"
    logits = torch.where(truths == 1, 1000.0, -1000.0)
    assert vlm.truth_loss(logits, truths) == 0
    assert vlm.truth_loss(-logits, truths) == 1000


@pytest.mark.parametrize("text", ["a zyzzyva", "naïve café", "赤いカップ", "R2-D2!", "🙂", "The RED Cup\ta\n\nb"])
def test_words_outside_the_vocabulary_break_nothing(text):
    tokenizer = vlm.build_tokenizer()
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert ids
    assert max(ids) < len(tokenizer)
    assert isinstance(tokenizer.decode(ids), str)


def test_every_word_of_the_conversations_is_one_token_and_comes_back_in_lower_case():
    tokenizer = vlm.build_tokenizer()
    texts = [*vlm.LISTING, ASK_FOR_QUESTIONS, vlm.WRITTEN, "There are no scissors.", "Yes.", "No.", "a red cup, an egg"]
    texts += [f"Is there a {colour} {noun}?" for colour in COLOURS for noun in NOUNS]
    for text in texts:
        pieces = tokenizer.tokenize(text)
        assert all(piece[0] == "▁" or piece in ".,?\n" for piece in pieces)
        assert "▁" not in pieces
        assert tokenizer.decode(tokenizer(text).input_ids) == text.lower()
    assert len(vlm.WRITTEN.splitlines()) == 10


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["average"]


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(vlm, "HELD_OUT", 2)
    common = ["--pictures", str(pictures), "--batch", "8", "--every", "4", "--vision", "32", "1", "--text", "32", "1"]
    vlm.main([*common, "--output", str(tmp_path / "whole"), "--steps", "8"])
    capsys.readouterr()
    vlm.main([*common, "--output", str(tmp_path / "parts"), "--steps", "4"])
    halfway = weights_of(tmp_path / "parts")
    vlm.main([*common, "--output", str(tmp_path / "parts"), "--steps", "8"])
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name], rtol=0, atol=0)
    assert any(not torch.equal(value, halfway[name]) for name, value in whole.items())
    assert '"step": 8, "recall":' in capsys.readouterr().out
    assert (tmp_path / "parts" / "llava" / "config.json").is_file()


def teach(model, batch: vlm.Batch, steps: int) -> float:
    """The loss after some steps on one batch."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = vlm.answer_loss(vlm.answer_logits(model, batch), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    return loss.item()


def test_the_same_small_picture_has_another_place_in_another_corner_of_the_frame():
    torch.manual_seed(0)
    tokenizer = vlm.build_tokenizer()
    model = vlm.build(len(tokenizer), **TINY)
    pixels = torch.rand(1, 3, 64, 64).expand(2, -1, -1, -1) * 2 - 1
    part = (torch.arange(4)[:, None] * vlm.GRID + torch.arange(4)).flatten()
    places = torch.stack([part, part + vlm.GRID - 4])
    question, answers = "Where is the cup?", ["the cup is on the left.", "the cup is on the right."]
    batch = vlm.Batch(pixels, places, *vlm.lay_out([[(question, answer)] for answer in answers], tokenizer))
    assert teach(model, batch, 120) < 0.05
    assert vlm.answer(model, tokenizer, pixels, places, question) == answers
    assert vlm.answer(model, tokenizer, pixels, places.flip(0), question) == answers[::-1]


def test_what_two_pictures_taught_comes_back_from_the_exported_folder(maker, tmp_path):
    torch.manual_seed(0)
    tokenizer = vlm.build_tokenizer()
    model = vlm.build(len(tokenizer), **TINY)
    images = np.stack([maker.scene(seed, FULL).image for seed in (0, 1)])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    places = torch.arange(vlm.GRID**2).expand(2, -1)
    answers = ["a red cup, a blue ball", "an orange egg"]
    batch = vlm.Batch(pixels, places, *vlm.lay_out([[(QUESTIONS[0], answer)] for answer in answers], tokenizer))
    assert teach(model, batch, 80) < 0.1
    assert vlm.answer(model, tokenizer, pixels, places, QUESTIONS[0]) == answers

    vlm.export(model, tmp_path)
    loaded = LlavaModel.from_pretrained(tmp_path)
    for image, answer in zip(images, answers, strict=True):
        talk = loaded.ask(loaded.encode(image), QUESTIONS[0])
        (view,) = talk.views
        assert view.grid.shape == (vlm.GRID, vlm.GRID)
        assert view.grid.box == (0, 0, 1, 1)
        assert loaded.tokenizer.decode(loaded.generate(talk)) == answer
    wide = np.zeros((40, 90, 3), np.uint8)
    assert loaded.ask(loaded.encode(wide), "Where is the zyzzyva?").grids[0].box == (0, 0, 1, 1)


def test_what_is_zoomed_into_keeps_its_place_and_what_lies_outside_is_not_named() -> None:
    rng = np.random.default_rng(0)
    named = 0
    for _ in range(50):
        x, y = rng.uniform(0.05, 0.95, 2)
        pixels = torch.full((3, vlm.SIZE, vlm.SIZE), -1.0)
        pixels[:, int(y * vlm.SIZE), int(x * vlm.SIZE)] = 1.0
        part, inside = vlm.zoomed(pixels, [Mention("cup", None, 0.2, float(x), float(y))], rng)
        assert part.shape == pixels.shape
        assert bool(inside) == bool(part.max() > -0.5)
        for item in inside:
            row, column = np.unravel_index(int(part[0].argmax()), (vlm.SIZE, vlm.SIZE))
            assert abs(item.x * vlm.SIZE - column) < 5
            assert abs(item.y * vlm.SIZE - row) < 5
            assert item.side > 0.2
            named += 1
    assert 10 < named < 50


def test_where_nothing_is_nothing_is_named_there_or_true() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert object_names(vlm.list_all([], rng)[1]) == []
        assert vlm.is_there([], rng)[1] == "No."
        assert vlm.where_is([], rng) is None
        assert not any(vlm.doubtful([], rng)[1])
