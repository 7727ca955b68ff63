"""DecAF: decomposed attention fusion (arXiv 2510.19592, ICLR 2026), for one picture.

The question names the object, and its last token is read instead of words of an answer. What a question about the
background sees as well is subtracted::

    map = max(0, map of the object - map of the background)

The maps of several sizes of the picture are fused, and every hot cell becomes a point of its own
(:mod:`groundkit.prompting.hot_cells`).
"""

from __future__ import annotations

from groundkit.language import Phrase
from groundkit.language.objects import object_names
from groundkit.models.vision_language.base import EncodedPicture
from groundkit.pipelines.vlsam import VLSAM, Reading
from groundkit.stages.fusion import contrast

BACKGROUND = "Describe the background of the picture without any {noun}, in a single word or phrase."


class DecAF(VLSAM):
    """A vision-language model whose last token of the question is read, object minus background."""

    def read_phrase(self, picture: EncodedPicture, phrase: Phrase, *, negated: bool = False) -> Reading:
        self._known_ids(phrase)
        noun = next((name.label for name in object_names(phrase.head)), phrase.head).split()[-1]
        seen = self._last_token(picture, self.question(phrase))
        background = self._last_token(picture, BACKGROUND.format(noun=noun))
        return Reading(seen.talk, contrast(seen.maps, background.maps))

    def _last_token(self, picture: EncodedPicture, question: str) -> Reading:
        talk = self.vlm.ask(picture, question)
        return self.flow(talk, [talk.inputs["input_ids"].shape[1] - 1])
