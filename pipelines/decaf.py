"""DecAF: decomposed attention fusion (arXiv 2510.19592, ICLR 2026), for one picture.

The question names the object, and its last token is read instead of words of an answer. What a question about the
background sees as well is subtracted::

    map = max(0, map of the object - map of the background)               :mod:`groundkit.stages.contrast`

The maps of several sizes of the picture are fused (:mod:`groundkit.stages.sizes`), and every hot cell becomes a point
of its own (:mod:`groundkit.prompting.hot_cells`).
"""

from __future__ import annotations

from groundkit.attention.maps import AttentionMaps
from groundkit.language import Phrase, Role, Token
from groundkit.language.phrase import Prompt
from groundkit.models.vision_language.look import Reading
from groundkit.pipelines.vlsam import VLSAM, VLSAMLook


class DecAFLook(VLSAMLook):
    """A picture about which the model is asked, and whose answer is only about to begin."""

    def reading(self, phrase: Phrase) -> Reading:
        return self.asked(phrase)

    def asked(self, phrase: Phrase) -> Reading:
        """The question, or a whole prompt as it stands, and its last token."""
        if not isinstance(phrase, Prompt):
            self.known_ids(phrase)
        talk = self.ask(phrase.text if isinstance(phrase, Prompt) else self.question.format(phrase=phrase.text))
        ids = talk.inputs["input_ids"][0]
        (piece,) = self.model.tokenizer.convert_ids_to_tokens(ids[-1:].tolist())
        return Reading(talk, (Token(int(ids[-1]), piece, None, Role.SPECIAL),), (len(ids) - 1,))

    def attention(self, phrase: Phrase) -> AttentionMaps:
        """The direct attention of the phrase's tokens in the question, and of its last token."""
        last = self.asked(phrase)
        ids, first = last.talk.inputs["input_ids"][0].tolist(), int(last.talk.image_positions.max()) + 1
        tokens = self.tokens_of(phrase, ids[first:-1])
        inside = [index for index, token in enumerate(tokens) if token.word is not None]
        reading = Reading(
            last.talk,
            (*(tokens[index] for index in inside), *last.tokens),
            (*(first + index for index in inside), *last.positions),
        )
        return self.rows(reading)


class DecAF(VLSAM):
    """A vision-language model whose last token of the question is read, object minus background."""

    look = DecAFLook
